"""Counters over wraps, restarts, reboots and clocks set back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wattlake_agents import epochs
from wattlake_agents.epochs import Counter
from wattlake_agents.sensors.integrator import LONGEST_STEP_NS, Integrator
from wattlake_agents.sensors.sensor import Device

WRAP = 262_143_328_851
HARDWARE = Device("cpu-package-0", "cpu", "zone-0", "counter", "rapl", max_power_mw=200_000, wrap_uj=WRAP)
PLAIN = replace(HARDWARE, name="gpu0", wrap_uj=None)
T = 1_700_000_000_000


def fed(device: Device, *samples: tuple[int, int], kept: epochs.Life | None = None) -> tuple[list[str], list[int], Counter]:
    counter = Counter(device, kept)
    lives, totals = [], []
    for ts_ms, raw_uj in samples:
        assert counter.add(ts_ms, raw_uj)
        lives.append(counter.epoch)
        totals.append(counter.total_uj)
    return lives, totals, counter


def test_a_wrap_is_resolved_and_the_epoch_goes_on() -> None:
    lives, totals, _ = fed(HARDWARE, (T, WRAP - 1_001), (T + 100, 999), (T + 200, 2_000), (T + 300, 3_000))
    assert len(set(lives)) == 1
    assert totals == [WRAP - 1_001, WRAP + 999, WRAP + 2_000, WRAP + 3_000]


def test_a_pause_long_enough_for_two_wraps_begins_an_epoch() -> None:
    lives, _, _ = fed(HARDWARE, (T, 1_000), (T + 250_000, 2_000), (T + 1_000_000, 3_000))
    assert lives[0] == lives[1] != lives[2]


def test_a_fall_that_no_wrap_explains_begins_an_epoch() -> None:
    lives, totals, _ = fed(HARDWARE, (T, 50_000_000), (T + 1000, 1_000))
    assert lives[0] != lives[1]
    assert totals[1] == 1_000


def test_a_counter_without_wrap_that_falls_begins_an_epoch() -> None:
    lives, totals, _ = fed(PLAIN, (T, 500), (T + 1000, 700), (T + 2000, 20), (T + 3000, 30))
    assert lives[0] == lives[1] != lives[2] == lives[3]
    assert totals == [500, 700, 20, 30]


def test_a_clock_set_back_begins_an_epoch_and_a_small_slew_drops_the_reading() -> None:
    lives, _, counter = fed(PLAIN, (T, 1), (T + 1000, 2), (T - 60_000, 3))
    assert lives[1] != lives[2]
    assert not counter.add(T - 60_000, 4)
    assert not counter.add(T - 60_500, 4)


def test_over_a_restart_of_the_agent_a_hardware_counter_goes_on() -> None:
    lives, totals, counter = fed(HARDWARE, (T, WRAP - 100), (T + 100, 50))
    kept = epochs.decode(epochs.encode({"cpu-package-0": counter.life()}, "boot-1"), "boot-1")  # type: ignore[dict-item]
    after, more, _ = fed(HARDWARE, (T + 200, 150), kept=kept["cpu-package-0"])
    assert after[0] == lives[0]
    assert more[0] == totals[-1] + 100


def test_after_a_reboot_everything_begins_anew() -> None:
    _, _, counter = fed(PLAIN, (T, 5))
    life = counter.life()
    assert life is not None
    assert epochs.decode(epochs.encode({"gpu0": life}, "boot-1"), "boot-2") == {}


def test_another_device_of_the_same_name_begins_an_epoch() -> None:
    lives, _, counter = fed(PLAIN, (T, 5))
    after, _, _ = fed(replace(PLAIN, identity="GPU-other"), (T + 1000, 9), kept=counter.life())
    assert after[0] != lives[0]


@pytest.mark.parametrize("method", ["integrated", "estimated"])
def test_a_sum_of_power_ends_with_the_agent(method: str) -> None:
    _, _, counter = fed(replace(PLAIN, method=method), (T, 5))
    assert counter.life() is None


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"boot_id": "b", "counters": {"x": 1}}'])
def test_a_torn_file_only_means_new_epochs(raw: bytes) -> None:
    assert epochs.decode(raw, "b") == {}


def test_an_integrator_does_not_bridge_a_long_pause() -> None:
    integrator = Integrator()
    assert integrator.add(0, 1000) == 0
    assert integrator.add(10**9, 1000) == 1_000_000
    assert integrator.add(10**9 + LONGEST_STEP_NS + 1, 1000) == 0
