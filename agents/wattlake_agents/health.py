"""The agent's heartbeat file, and what it says about the agent's health."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from wattlake_agents import process
from wattlake_agents.state import HEARTBEAT, read
from wattlake_contracts.amount import amount
from wattlake_contracts.kafkalog.standing import ShippingState


class ReaderHealth(msgspec.Struct):
    """How one reader does. state: reading, absent, failing or hung. left_out: readings that were false, and became gaps."""

    name: str
    state: str
    devices: list[str]
    last_reading_ms: int
    readings: int
    failures: int
    problems: list[str]
    left_out: int = 0


class Heartbeat(msgspec.Struct):
    """What the agent says of itself every `beat_s` seconds, and at its end. Instants in epoch ms, 0 for never.

    pid_namespace: where `pid` means something, 0 if not known. beat_up_s: how long the machine had run then, 0 if not known.
    clock_set_ms: when it last found that its clock had been set, by the clock as it was set. last_loss_ms: when it last lost records or rows.
    """

    node: str
    pid: int
    boot: str
    log: str
    started_ms: int
    beat_ms: int
    beat_s: float
    interval_s: float
    flush_s: float
    last_reading_ms: int
    last_sync_ms: int
    records: int
    rows: int
    pending_records: int
    lost_records: int
    lost_rows: int
    write_error: str
    cpu_s: float
    rss_bytes: int
    readers: list[ReaderHealth]
    stopped_ms: int = 0
    pid_namespace: int = 0
    shipping: ShippingState | None = None
    beat_up_s: float = 0.0
    clock_set_ms: int = 0
    last_loss_ms: int = 0


def load(folder: Path) -> Heartbeat | None:
    """The heartbeat file of a state folder, or None if there is none that can be read."""
    raw = read(folder / HEARTBEAT)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=Heartbeat)
    except msgspec.MsgspecError:
        return None


#: A clock that is moved by no more is not told from one that is slowed or hurried a little.
CLOCK_STEP_MS = 5_000
#: A loss is told for so long: nothing brings back what is lost, and who has seen to the cause is to see so.
_LOSS_TOLD_MS = 3_600_000
#: What may be wrong with an agent, in the order in which it is told.
CAUSES = ("not_running", "hangs", "reads_nothing", "writes_nothing", "write_failed", "sends_nothing", "loses", "holds_back")


class Ailment(NamedTuple):
    """Why an agent is not healthy. cause: one of CAUSES. text: a line that says what and what to do."""

    cause: str
    text: str


def ailments(beat: Heartbeat, now_ms: int) -> list[Ailment]:
    """Why the agent is not healthy; empty if it is, and of one that was stopped, which is neither.

    An agent that lives but sends nothing is not healthy. Of one that is `dead` all but the first is what was wrong at its last sign of life.
    """
    found: list[Ailment] = []
    if beat.stopped_ms:
        return found
    if not _alive(beat):
        found.append(Ailment("not_running", f"the agent (pid {beat.pid}) is not running, and was not stopped; its last sign of life was at "
                                            f"{instant(beat.beat_ms)}: start it with `wattlake agent run`"))
    elif now_ms - beat.beat_ms > _late_ms(beat):
        found.append(Ailment("hangs", f"its last sign of life is {_ago(now_ms - beat.beat_ms)} old: "
                                      f"{'it no longer runs, or hangs' if _elsewhere(beat) else 'it hangs'}; restart it"))
    if dead(beat, now_ms):
        # that it has done nothing since is no fault of a disk or a broker
        now_ms = beat.beat_ms
    reads = _silent_ms(beat, beat.last_reading_ms, now_ms) <= 1000 * (5 * beat.interval_s + 3 * beat.beat_s + 5)
    if not reads:
        found.append(Ailment("reads_nothing", f"it reads nothing ({_readers(beat)}): `wattlake agent once` says what can be done"))
    # two flushes may lie between a reading and its record, and the heartbeat is itself some seconds old
    late_write = _silent_ms(beat, beat.last_sync_ms, now_ms) > 1000 * (2 * beat.flush_s + 3 * beat.beat_s + 5)
    # where nothing is read there is nothing to write, and the log is not to blame
    if late_write and (reads or beat.pending_records or beat.write_error):
        waiting = amount(beat.pending_records, "record", "wait")
        found.append(Ailment("writes_nothing", f"it writes nothing to the log ({waiting}): check the disk and {beat.log}"))
    if beat.write_error:
        found.append(Ailment("write_failed", f"the last write failed: {beat.write_error}"))
    if text := _lost(beat, now_ms):
        found.append(Ailment("loses", text))
    if beat.shipping is not None:
        found += _shipping_ailments(beat.shipping, beat, now_ms)
    return found


def _shipping_ailments(shipping: ShippingState, beat: Heartbeat, now_ms: int) -> list[Ailment]:
    found = []
    # a record waits for its turn for some seconds at most; a backlog that shrinks is no illness
    silent_ms = _silent_ms(beat, shipping.last_ack_ms, now_ms)
    why = f": {shipping.error}" if shipping.error else ""
    if _silent_ms(beat, shipping.beat_ms, now_ms) > 60_000 and now_ms - beat.beat_ms < 60_000:
        found.append(Ailment("sends_nothing", f"what ships to {shipping.log} hangs: restart the agent"))
    if shipping.backlog_records and silent_ms > 1000 * (2 * beat.flush_s + 3 * beat.beat_s + 30):
        found.append(Ailment("sends_nothing", f"it sends nothing to {shipping.log} ({amount(shipping.backlog_records, 'record', 'wait')}){why}"))
    found += [Ailment("holds_back", f"{amount(one.records, 'record', 'wait')} for {one.topic}, and only "
                                    f"{'this' if one.records == 1 else 'these, the oldest'} for {_ago(now_ms - one.since_ms)}: {one.why}")
              for one in shipping.held]
    if shipping.state == "holds back" and not shipping.held:
        found.append(Ailment("holds_back", f"some records wait, and only these{why}"))
    if shipping.refused_records or shipping.damaged_records:
        found.append(Ailment("loses", f"{amount(shipping.refused_records, 'record', 'were')} refused and set aside, {shipping.damaged_records} of the spool "
                                      f"could not be read{why}"))
    if shipping.unknown_records:
        found.append(Ailment("holds_back", f"{amount(shipping.unknown_records, 'record', 'are')} of kinds that this version does not know "
                                           f"({shipping.unknown_kinds}), kept, and sent by a version that knows them: upgrade this agent"))
    return found


def _silent_ms(beat: Heartbeat, last_ms: int, now_ms: int) -> int:
    """For how long there has been nothing since an instant, its start or a setting of its clock. An instant that is still to come is of a clock that was
    set back since, and tells nothing."""
    return now_ms - max((at for at in (last_ms, beat.started_ms, beat.clock_set_ms) if at <= now_ms + CLOCK_STEP_MS), default=0)


def _lost(beat: Heartbeat, now_ms: int) -> str:
    """What was lost in the last hour, in words; '' if nothing was."""
    if not beat.last_loss_ms or abs(now_ms - beat.last_loss_ms) > _LOSS_TOLD_MS:
        return ""
    # a file log that has a bound gives its oldest up whether or not they were landed: that is its bound, and no loss of the agent's
    records = beat.lost_records if beat.shipping is not None else 0
    lost = [f"{amount(records, 'record', 'were')} deleted before the brokers had them, for the spool was full"] if records else []
    lost += [f"{amount(beat.lost_rows, 'row', 'were')} given up in memory, for the disk took none"] if beat.lost_rows else []
    return (f"{' and '.join(lost)}, the last at {instant(beat.last_loss_ms)}: see what stands in their way, or give the spool more room "
            "(agent.spool_max_mib)") if lost else ""


def _readers(beat: Heartbeat) -> str:
    """Each reader, how it does, and its first problem in a few words."""
    said = [f"{r.name} {r.state}" + (f": {r.problems[0].splitlines()[0]}" if r.problems else "") for r in beat.readers]
    return "; ".join(said) or "it has no reader"


def asked_ms(beat: Heartbeat) -> int:
    """The time now, in epoch ms. Where the clock was set back since its last sign of life: by what has passed since then."""
    now_ms = time.time_ns() // 1_000_000
    if beat.beat_ms <= now_ms or not beat.beat_up_s:
        return now_ms
    return beat.beat_ms + max(0, int(1000 * (process.up_s() - beat.beat_up_s)))


def running(beat: Heartbeat | None, now_ms: int) -> bool:
    """Whether the agent that left this sign of life runs, and not only as a process that hangs."""
    return beat is not None and not beat.stopped_ms and _alive(beat) and now_ms - beat.beat_ms <= _late_ms(beat)


def dead(beat: Heartbeat, now_ms: int) -> bool:
    """Whether the agent that left this sign of life does not run, as far as can be told, and was not stopped: what it told is past."""
    return not beat.stopped_ms and (not _alive(beat) or (_elsewhere(beat) and now_ms - beat.beat_ms > _late_ms(beat)))


def instant(ms: int) -> str | None:
    """An instant as it is told; None for never."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ms else None


def _late_ms(beat: Heartbeat) -> float:
    return 1000 * (3 * beat.beat_s + 5)


def _elsewhere(beat: Heartbeat) -> bool:
    """Whether it or who asks is in a container, where process ids mean other processes."""
    return bool(beat.pid_namespace) and beat.pid_namespace != process.pid_namespace()


def _alive(beat: Heartbeat) -> bool:
    if _elsewhere(beat):
        return True  # only its signs of life can tell
    try:
        os.kill(beat.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _ago(ms: int) -> str:
    seconds = ms // 1000
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
