"""The lives of a node's counters, kept over restarts of the agent within one boot of the machine."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Seen(NamedTuple):
    """A raw value at an instant. total_uj: the energy in its epoch, once it is believed. power_mw: read beside it."""

    ts_ms: int
    raw_uj: int
    total_uj: int = 0
    power_mw: int | None = None


class Life(msgspec.Struct):
    """What is kept of a hardware counter over restarts of the agent.

    last: its last believed value. before: the one before that in the same epoch. held: values that
    fit neither, so that a restart of the agent does not lose what they may prove.
    """

    epoch: str
    identity: str
    last: Seen
    before: Seen | None = None
    held: tuple[Seen, ...] = ()


class Lives(msgspec.Struct):
    """All counters of a node as they were when last written down."""

    boot_id: str
    counters: dict[str, Life]


def decode(raw: bytes | None, boot_id: str) -> dict[str, Life]:
    """Device -> its life, if the bytes are those of this boot of the machine; else nothing."""
    if raw is None:
        return {}
    try:
        lives = msgspec.json.decode(raw, type=Lives)
    except msgspec.MsgspecError:
        return {}
    return lives.counters if lives.boot_id == boot_id else {}


def encode(counters: dict[str, Life], boot_id: str) -> bytes:
    """The inverse of decode."""
    return msgspec.json.encode(Lives(boot_id, counters))
