"""What the node and its devices are: inventory rows, each with the instant from which it holds."""

from __future__ import annotations

import hashlib

import msgspec

from wattlake_agents.sensors.sensor import Device
from wattlake_contracts.column import EARLIEST_MS
from wattlake_contracts.config import AgentConfig


class Known(msgspec.Struct):
    """A row that was sent: the hash of its content and since when it holds."""

    content: str
    valid_from_ms: int


class Inventory:
    """The rows last sent, so that unchanged content keeps its valid_from over restarts.

    node: the node's name. config: its site and model. kept: bytes of the last life, or None.
    """

    def __init__(self, node: str, config: AgentConfig, kept: bytes | None = None) -> None:
        self._node, self._config = node, config
        self._known: dict[str, Known] = {}
        self._sent: set[str] = set()
        if kept is not None:
            try:
                self._known = msgspec.json.decode(kept, type=dict[str, Known])
            except msgspec.MsgspecError:
                self._known = {}  # a torn file only means that rows get a new valid_from

    def rows(self, devices: list[Device], now_ms: int) -> list[dict[str, object]]:
        """The rows (kind nodes) that were not sent in this life yet or whose content changed.

        Nothing while the clock says a time before 2000, as after a boot without a battery: such rows would be rejected, and their
        valid_from kept for ever. What was to hold only from a time that is still to come, by a clock since set back, holds from now.
        """
        if now_ms < EARLIEST_MS:
            return []
        wanted = {"": self._node_row(), **{d.name: self._device_row(d) for d in devices}}
        fresh: list[dict[str, object]] = []
        for key, content in wanted.items():
            row = {name: value for name, value in content.items() if value not in (None, "")}
            digest = hashlib.blake2b(msgspec.json.encode(row, order="sorted"), digest_size=16).hexdigest()
            name = f"{self._node}/{key}"
            known = self._known.get(name)
            if known is None or known.content != digest or not EARLIEST_MS <= known.valid_from_ms <= now_ms:
                known = self._known[name] = Known(digest, now_ms)
                self._sent.discard(name)
            if name not in self._sent:
                self._sent.add(name)
                fresh.append({**row, "valid_from_ms": known.valid_from_ms, "event": "inventory", "event_ms": now_ms})
        return fresh

    def encode(self) -> bytes:
        """What to keep for the next start."""
        return msgspec.json.encode(self._known)

    def _node_row(self) -> dict[str, object]:
        return {"node": self._node, "site": self._config.site, "sku": self._config.sku}

    def _device_row(self, device: Device) -> dict[str, object]:
        return {
            "node": self._node, "site": self._config.site, "device": device.name, "device_kind": device.kind,
            "device_sku": device.model, "parent": device.parent, "domain": device.domain,
            "max_power_mw": device.max_power_mw, "sensor_class": device.sensor_class, "detail": device.detail,
        }
