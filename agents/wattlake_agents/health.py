"""The agent's heartbeat file, and what it says about the agent's health."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from wattlake_agents import process
from wattlake_agents.silence import Silences
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

    pid_namespace: where `pid` means something, 0 if not known. machine_boot, beat_up_s: which life of the machine it was, '' if
    not known, and how long that had lasted. silences: None from an agent of an earlier version.
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
    machine_boot: str = ""
    beat_up_s: float = 0.0
    silences: Silences | None = None


def load(folder: Path) -> Heartbeat | None:
    """The heartbeat file of a state folder, or None if there is none that can be read."""
    raw = read(folder / HEARTBEAT)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=Heartbeat)
    except msgspec.MsgspecError:
        return None


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
    silent = _silences(beat, now_ms)
    reads = silent.reading_ms <= 1000 * (5 * beat.interval_s + 3 * beat.beat_s + 5)
    if not reads:
        found.append(Ailment("reads_nothing", f"it reads nothing ({_readers(beat)}): `wattlake agent once` says what can be done"))
    # two flushes may lie between a reading and its record, and the heartbeat is itself some seconds old
    late_write = silent.sync_ms > 1000 * (2 * beat.flush_s + 3 * beat.beat_s + 5)
    # where nothing is read there is nothing to write, and the log is not to blame
    if late_write and (reads or beat.pending_records or beat.write_error):
        waiting = amount(beat.pending_records, "record", "wait")
        found.append(Ailment("writes_nothing", f"it writes nothing to the log ({waiting}): check the disk and {beat.log}"))
    if beat.write_error:
        found.append(Ailment("write_failed", f"the last write failed: {beat.write_error}"))
    if text := _lost(beat, silent):
        found.append(Ailment("loses", text))
    if beat.shipping is not None:
        found += _shipping_ailments(beat.shipping, beat, silent, now_ms)
    return found


def _shipping_ailments(shipping: ShippingState, beat: Heartbeat, silent: Silences, now_ms: int) -> list[Ailment]:
    found = []
    # a record waits for its turn for some seconds at most; a backlog that shrinks is no illness
    why = f": {shipping.error}" if shipping.error else ""
    if silent.shipped_ms > 60_000 and now_ms - beat.beat_ms < 60_000:
        found.append(Ailment("sends_nothing", f"what ships to {shipping.log} hangs: restart the agent"))
    if shipping.backlog_records and silent.acked_ms > 1000 * (2 * beat.flush_s + 3 * beat.beat_s + 30):
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


def _silences(beat: Heartbeat, now_ms: int) -> Silences:
    """Those of now, with what has passed since that sign of life. Where it does not tell of any, by its instants, as long as nobody sets the clock."""
    if beat.silences is not None:
        passed_ms = now_ms - beat.beat_ms
        return Silences(*(ms + passed_ms for ms in msgspec.structs.astuple(beat.silences)))
    acked_ms, shipped_ms = (beat.shipping.last_ack_ms, beat.shipping.beat_ms) if beat.shipping is not None else (0, 0)
    return Silences(*(now_ms - max(at, beat.started_ms) for at in (beat.last_reading_ms, beat.last_sync_ms, acked_ms, shipped_ms, 0, 0)))


def _lost(beat: Heartbeat, silent: Silences) -> str:
    """What was lost, if any of it was in the last hour, in words; '' if nothing was."""
    # a file log that has a bound gives its oldest up whether or not they were landed: that is its bound, and no loss of the agent's
    records = beat.lost_records if beat.shipping is not None and silent.lost_records_ms <= _LOSS_TOLD_MS else 0
    rows = beat.lost_rows if silent.lost_rows_ms <= _LOSS_TOLD_MS else 0
    lost = [f"{amount(records, 'record', 'were')} deleted before the brokers had {'it' if records == 1 else 'them'}, for the spool was full "
            f"(last {_ago(silent.lost_records_ms)} ago)"] if records else []
    lost += [f"{amount(rows, 'row', 'were')} given up in memory, for the disk took none, or a row was over its limit "
             f"(last {_ago(silent.lost_rows_ms)} ago)"] if rows else []
    return f"{' and '.join(lost)}: see what stands in their way, or give the spool more room (agent.spool_max_mib)" if lost else ""


def _readers(beat: Heartbeat) -> str:
    """Each reader, how it does, and its first problem in a few words."""
    said = [f"{r.name} {r.state}" + (f": {r.problems[0].splitlines()[0]}" if r.problems else "") for r in beat.readers]
    return "; ".join(said) or "it has no reader"


def asked_ms(beat: Heartbeat) -> int:
    """The time now, in epoch ms, by the clock as it was at that sign of life: what has passed since tells it, whatever the clock was set to meanwhile."""
    if beat.machine_boot and beat.machine_boot == process.machine_boot():
        return beat.beat_ms + round(1000 * (process.up_s() - beat.beat_up_s))
    return time.time_ns() // 1_000_000


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
    if beat.machine_boot and process.machine_boot() not in ("", beat.machine_boot):
        return False  # the machine has been started anew since, and its process ids mean other processes
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
