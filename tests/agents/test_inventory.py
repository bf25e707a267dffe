"""Inventory rows: sent when they are new or change, with the instant from which they hold."""

from __future__ import annotations

from dataclasses import replace

from wattlake_agents.inventory import Inventory
from wattlake_agents.sensors.sensor import Device
from wattlake_contracts.config import AgentConfig
from wattlake_contracts.kinds import NODES

GPU = Device("gpu0", "gpu", "GPU-a", "counter", "nvml-energy", model="Acme G1", max_power_mw=700_000, domain="GPU-a")
CONFIG = AgentConfig(site="berlin-1", sku="acme-server")
T0 = 1_760_000_000_000


def test_the_first_rows_say_all_and_the_next_nothing() -> None:
    inventory = Inventory("n1", CONFIG)
    node, gpu = inventory.rows([GPU], T0 + 1000)
    assert node == {"node": "n1", "site": "berlin-1", "sku": "acme-server", "valid_from_ms": T0 + 1000, "event": "inventory", "event_ms": T0 + 1000}
    assert gpu == {"node": "n1", "site": "berlin-1", "device": "gpu0", "device_kind": "gpu", "device_sku": "Acme G1", "domain": "GPU-a",
                   "max_power_mw": 700_000, "sensor_class": "nvml-energy", "valid_from_ms": T0 + 1000, "event": "inventory", "event_ms": T0 + 1000}
    assert {*node, *gpu} <= {c.name for c in NODES.columns}
    assert inventory.rows([GPU], T0 + 2000) == []


def test_a_changed_device_is_a_new_row_from_now_on() -> None:
    inventory = Inventory("n1", CONFIG)
    inventory.rows([GPU], T0 + 1000)
    [row] = inventory.rows([replace(GPU, max_power_mw=300_000)], T0 + 2000)
    assert (row["device"], row["max_power_mw"], row["valid_from_ms"]) == ("gpu0", 300_000, T0 + 2000)


def test_after_a_restart_unchanged_rows_keep_their_beginning() -> None:
    first = Inventory("n1", CONFIG)
    first.rows([GPU], T0 + 1000)
    again = Inventory("n1", CONFIG, first.encode())
    assert [(r["valid_from_ms"], r["event_ms"]) for r in again.rows([GPU], T0 + 9000)] == [(T0 + 1000, T0 + 9000)] * 2


def test_another_site_is_another_row() -> None:
    first = Inventory("n1", CONFIG)
    first.rows([GPU], T0 + 1000)
    moved = Inventory("n1", AgentConfig(site="paris-2"), first.encode())
    assert [(r["site"], r["valid_from_ms"]) for r in moved.rows([GPU], T0 + 9000)] == [("paris-2", T0 + 9000)] * 2


def test_a_torn_file_is_as_none() -> None:
    assert len(Inventory("n1", CONFIG, b'{"n1/": ').rows([GPU], T0 + 5)) == 2


def test_nothing_is_said_by_a_clock_that_stands_before_2000_nor_kept_from_it() -> None:
    inventory = Inventory("n1", CONFIG)
    assert inventory.rows([GPU], 60_000) == []
    assert [r["valid_from_ms"] for r in inventory.rows([GPU], T0)] == [T0] * 2
    old = Inventory("n1", CONFIG, inventory.encode().replace(str(T0).encode(), b"60000"))
    assert [r["valid_from_ms"] for r in old.rows([GPU], T0)] == [T0] * 2, "an earlier agent had kept that"


def test_what_was_to_hold_from_an_hour_ahead_holds_from_now_once_the_clock_is_set_right() -> None:
    inventory = Inventory("n1", CONFIG)
    inventory.rows([GPU], T0 + 3_600_000)
    assert [r["valid_from_ms"] for r in inventory.rows([GPU], T0)] == [T0] * 2
    assert inventory.rows([GPU], T0 + 1000) == []
