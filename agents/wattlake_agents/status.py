"""How the agent of this machine does, from its heartbeat file."""

from __future__ import annotations

from pathlib import Path

from wattlake_agents.health import Heartbeat, ailments, asked_ms, dead, instant, load
from wattlake_agents.state import HEARTBEAT, state_dir
from wattlake_contracts.amount import amount
from wattlake_contracts.config import AgentConfig


def report(config: AgentConfig) -> tuple[list[tuple[str, object]], list[str]]:
    """(name and value of what is known, what is not as it should be: empty if it is healthy)."""
    folder = state_dir(config)
    beat = load(folder)
    if beat is None and (folder / HEARTBEAT).exists():
        return [("state_dir", str(folder)), ("state", "unknown")], [f"unhealthy: {folder / HEARTBEAT} cannot be read: ask as root or the agent's user"]
    if beat is None:
        return [("state_dir", str(folder)), ("state", "none")], [f"no agent has run with the state folder {folder}: start one with `wattlake agent run`"]
    if beat.stopped_ms:
        said = [f"stopped at {instant(beat.stopped_ms)}: start it with `wattlake agent run`"]
        if beat.pending_records:
            said.append(f"{amount(beat.pending_records, 'record', 'were')} not written: {beat.write_error}")
        return _rows(beat, "stopped"), said
    now_ms = asked_ms(beat)
    ill, past = ailments(beat, now_ms), dead(beat, now_ms)
    return _rows(beat, "unhealthy" if ill else "healthy"), [
        f"{'it told before that' if past and i else 'unhealthy'}: {ailment.text}" for i, ailment in enumerate(ill)]


def _rows(beat: Heartbeat, state: str) -> list[tuple[str, object]]:
    return [
        ("state", state), ("node", beat.node), ("pid", None if beat.stopped_ms else beat.pid), ("log", beat.log),
        ("log_bytes", log_bytes(Path(beat.log) / f"agent.{beat.node}")),
        ("started", instant(beat.started_ms)), ("stopped", instant(beat.stopped_ms)),
        ("last_sign_of_life", instant(beat.beat_ms)), ("last_reading", instant(beat.last_reading_ms)),
        ("last_write", instant(beat.last_sync_ms)), ("records_written", beat.records), ("rows_written", beat.rows),
        *_shipping_rows(beat),
        ("records_waiting", beat.pending_records), ("records_lost", beat.lost_records), ("rows_lost", beat.lost_rows),
        ("readings_left_out", sum(r.left_out for r in beat.readers)),
        ("cpu_s", round(beat.cpu_s, 3)), ("memory_mib", round(beat.rss_bytes / 2**20, 1)),
        ("readers", [f"{r.name} {r.state}" + (f" ({', '.join(r.devices)})" if r.devices else "") for r in beat.readers]),
        ("reader_errors", [p.replace("\n  ", "; ") for r in beat.readers if r.state in ("failing", "hung") for p in r.problems]),
    ]


def _shipping_rows(beat: Heartbeat) -> list[tuple[str, object]]:
    shipping = beat.shipping
    if shipping is None:
        return []
    return [
        ("ships_to", shipping.log), ("shipping", shipping.state), ("backlog_records", shipping.backlog_records), ("backlog_bytes", shipping.backlog_bytes),
        ("oldest_unacked", instant(shipping.oldest_unacked_ms)), ("last_acknowledged", instant(shipping.last_ack_ms)),
        ("nothing_acknowledged_since", instant(shipping.silent_since_ms)),
        ("records_acknowledged", shipping.acked_records), ("records_refused", shipping.refused_records), ("records_damaged", shipping.damaged_records),
        ("records_unknown", shipping.unknown_records), ("records_held", sum(one.records for one in shipping.held)),
        ("topics_held", [f"{one.topic} ({one.records} since {instant(one.since_ms)}): {one.why}" for one in shipping.held]),
        ("connections_made_anew", shipping.rebuilt), ("shipping_error", shipping.error or None),
    ]


def log_bytes(partition: Path) -> int:
    """How large a partition is on disk; 0 if it is not there."""
    try:
        return sum(path.stat().st_size for path in partition.iterdir() if path.suffix == ".wlog")
    except OSError:
        return 0
