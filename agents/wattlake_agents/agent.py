"""The node agent: readers in threads, a flush every minute, and nothing else."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wattlake_agents import epochs, process
from wattlake_agents.claim import claim
from wattlake_agents.health import Heartbeat, ReaderHealth
from wattlake_agents.inventory import Inventory
from wattlake_agents.jobs.renewal import renewals
from wattlake_agents.message import Run, messages
from wattlake_agents.reader import DISCOVER_S, Event, Owners, Reader
from wattlake_agents.sensors.registry import open_sensors
from wattlake_agents.sensors.sensor import Sensor
from wattlake_agents.silence import Listening, Silences
from wattlake_agents.spool import Spool, refused
from wattlake_agents.state import EPOCHS, HEARTBEAT, INVENTORY, JOBS, boot_id, make_state_dir, node_name, read, replace, state_dir
from wattlake_contracts.amount import amount
from wattlake_contracts.config import AgentConfig, Config
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.partition import LogError
from wattlake_contracts.log_address import KafkaLog, log_address, record_limit, spool_root

if TYPE_CHECKING:
    from wattlake_agents.shipping import Shipping

BEAT_S = 10.0
RENEW_S = 60.0
#: A heartbeat also goes to the log, but seldom: it is for people who look at many nodes.
EVENT_BEAT_S = 600.0
#: A reader that hangs must not keep the agent from starting.
_START_S = 10.0


class Agent:
    """Reads this machine's energy counters and writes them to the log until told to stop.

    config: what to do. log: the log's address (default: the configuration's). sensors: the
    readers (default: those of the configuration). events: a structlog logger for what happens.
    """

    def __init__(self, config: Config, log: str | None = None, sensors: list[Sensor] | None = None, events: Any = None,
                 discover_s: float = DISCOVER_S) -> None:
        self.config: AgentConfig = config.agent
        self.node = node_name(self.config)
        self.state = state_dir(self.config)
        self.stop = threading.Event()
        self.started_ms = time.time_ns() // 1_000_000
        self.address = log_address(config, log)
        #: the file log, or the spool from which it is shipped
        self.log = spool_root(config, log)
        self._kafka = config.kafka
        self.shipping: Shipping | None = None
        make_state_dir(self.state)
        self._events = events
        self._boot_id = boot_id(Path(self.config.proc_root))
        self.spool = Spool(self.log, self.node, f"agent.{self.node}", max_bytes=self.config.spool_max_mib * 2**20,
                           max_record_bytes=self._record_bytes)
        self.inventory = Inventory(self.node, self.config, read(self.state / INVENTORY))
        kept = epochs.decode(read(self.state / EPOCHS), self._boot_id)
        self._kept = dict(kept)
        owners = Owners()
        opened = open_sensors(self.config) if sensors is None else sensors
        pace = (self.config.interval_s, self.config.reader_timeout_s, self.stop)
        self.readers = [Reader(sensor, *pace, owners, kept, discover_s) for sensor in opened]
        self._reported_records = self._reported_rows = 0
        self._state_failed = False
        self._event_beat_at = self._complain_at = 0.0
        self._complained = self._ship_complained = False
        self._ship_complain_at = 0.0
        self._claim: int | None = None
        self._open = False
        self._stopped_ms = 0
        #: the loop's last sign of life
        self.last_beat: Heartbeat | None = None
        self._listening, self._machine_boot = Listening(), process.machine_boot()

    @property
    def _record_bytes(self) -> int:
        """The largest record that the log takes."""
        return record_limit(self.address, self._kafka)

    def open(self) -> None:
        """Take the state folder and this node's part of the log. WattlakeError if they cannot be had, above all by a second agent."""
        self._claim = claim(self.state)
        try:
            self.spool.open()
        except LogError as error:
            self._let_go()
            raise refused(error, self.log, self.node, self.address) from error
        if isinstance(self.address, KafkaLog):
            # kafka-python is not loaded for a file log
            from wattlake_agents.shipping import Shipping

            try:
                self.shipping = Shipping(self.log, self.address, self._kafka, self.config.spool_max_mib * 2**20)
            except WattlakeError:
                self.spool.close()
                self._let_go()
                raise
        self._open = True

    def run(self) -> None:
        """Run until `stop` is set (SIGTERM and SIGINT set it), then flush. WattlakeError if it cannot begin, or not write all at its end."""
        if not self._open:
            self.open()
        try:
            self._run()
        finally:
            self._let_go()
        if self.spool.pending:
            raise WattlakeError(
                f"{amount(self.spool.pending, 'record')} ({amount(self.spool.pending_rows, 'row')}) {'was' if self.spool.pending == 1 else 'were'} "
                f"not written: {self.spool.error}", subject=str(self.log),
                next_step="make room there and start the agent again: what hardware counters counted meanwhile is then not lost")

    def _run(self) -> None:
        for reader in self.readers:
            reader.start()
        deadline = time.monotonic() + _START_S
        while not all(r.started.is_set() for r in self.readers) and time.monotonic() < deadline and not self.stop.wait(0.01):
            pass
        if self.shipping is not None:
            self.shipping.start()
        self._say("started", node=self.node, log=str(self.address), devices=[d.name for r in self.readers for d in r.devices])
        self._loop()
        self.flush()
        self.spool.close()
        if self.shipping is not None:
            self.shipping.stop()
        self._stopped_ms = time.time_ns() // 1_000_000
        self.beat()
        spool = self.spool
        if spool.pending:
            self._say("stopped", "error", records=spool.written, records_not_written=spool.pending, rows_not_written=spool.pending_rows,
                      error=spool.error)
        else:
            self._say("stopped", records=spool.written)

    def _let_go(self) -> None:
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _loop(self) -> None:
        # everything made so far stays: the collector need not look at it again
        gc.collect()
        gc.freeze()
        self.flush()
        self.beat()
        self.renew()
        now = time.monotonic()
        tasks = ((self.config.flush_s, self.flush), (self.beat_s, self.beat), (RENEW_S, self.renew))
        due = [now + every_s for every_s, _ in tasks]
        while not self.stop.wait(max(0.0, min(due) - time.monotonic())):
            now = time.monotonic()
            for i, (every_s, task) in enumerate(tasks):
                if due[i] <= now:
                    task()
                    due[i] = now + every_s

    @property
    def beat_s(self) -> float:
        """Seconds between two writings of the heartbeat file."""
        return min(BEAT_S, self.config.flush_s)

    def flush(self) -> None:
        """Write down what was read since the last flush."""
        runs: list[Run] = []
        events: list[Event] = []
        for reader in self.readers:
            fresh, happened = reader.drain()
            runs += fresh
            events += happened
        now_ms = time.time_ns() // 1_000_000
        rows = self.inventory.rows([d for r in self.readers for d in r.devices], now_ms if self.spool.last_sync_ms else self.started_ms)
        rows += [self._event_row(event) for event in events]
        rows += self._loss_rows(now_ms)
        if time.monotonic() >= self._event_beat_at:
            self._event_beat_at = time.monotonic() + EVENT_BEAT_S
            left_out = sum(reader.left_out for reader in self.readers)
            rows.append({"node": self.node, "event": "heartbeat", "event_ms": now_ms,
                         "detail": f"cpu {process.cpu_s():.1f} s, memory {process.rss_bytes() >> 20} MiB, {amount(self.spool.rows, 'row')}, "
                                   f"{amount(left_out, 'false reading')} left out"})
        self.spool.add_json("nodes", rows)
        for payload, count in messages(self.node, runs, self._record_bytes):
            self.spool.add("readings", payload, count, arrow=True)
        self._sync()
        for event in events:
            self._say(event.event, device=event.device, detail=event.detail)
        self._keep()

    def _sync(self) -> bool:
        """Write what waits. That it cannot be written is said at once, and then seldom."""
        written = self.spool.sync()
        if self.shipping is not None:
            self.shipping.wake()
            self._say_shipping(self.shipping)
        if self.spool.error and time.monotonic() >= self._complain_at:
            self._say("write_failed", "warning", error=self.spool.error, log=str(self.log), records_waiting=self.spool.pending,
                      rows_given_up=self.spool.lost_rows)
            self._complained, self._complain_at = True, time.monotonic() + EVENT_BEAT_S
        elif self._complained and not self.spool.error:
            self._say("write_recovered", rows_given_up=self.spool.lost_rows)
            self._complained, self._complain_at = False, 0.0
        return written

    def _say_shipping(self, shipping: Shipping) -> None:
        """That nothing goes to Kafka is said at once, and then seldom."""
        error = shipping.error
        if error and time.monotonic() >= self._ship_complain_at:
            self._say("ship_failed", "warning", error=error, log=str(self.address))
            self._ship_complained, self._ship_complain_at = True, time.monotonic() + EVENT_BEAT_S
        elif self._ship_complained and not error:
            self._say("ship_recovered", log=str(self.address))
            self._ship_complained, self._ship_complain_at = False, 0.0

    def beat(self) -> None:
        """Write the heartbeat file."""
        found = self.heartbeat()
        self.last_beat = found
        # whatever the umask: a job of any user asks whether an agent runs and what it reads, as its page tells every user
        self._store(HEARTBEAT, msgspec.json.encode(found), 0o644)

    def renew(self) -> None:
        """Renew every job that is registered, and pass on what jobs could not write themselves."""
        found = renewals(self.state / JOBS, self.node, self._boot_id)
        self.spool.add_json("jobs", found.rows)
        if self._sync():
            found.forget()

    def heartbeat(self) -> Heartbeat:
        """The agent's state now."""
        spool = self.spool
        shipping = self.shipping.state() if self.shipping is not None else None
        lost_records, lost_rows = self._lost_records(), self._lost_rows()
        silent = self._listening.silent_ms
        return Heartbeat(
            node=self.node, pid=os.getpid(), boot=spool.boot, log=str(self.log.absolute()), started_ms=self.started_ms,
            beat_ms=time.time_ns() // 1_000_000, beat_s=self.beat_s, interval_s=self.config.interval_s, flush_s=self.config.flush_s,
            last_reading_ms=max((r.last_ts_ms for r in self.readers), default=0), last_sync_ms=spool.last_sync_ms,
            records=spool.written, rows=spool.rows, pending_records=spool.pending, lost_records=lost_records,
            lost_rows=lost_rows, write_error=spool.error, cpu_s=process.cpu_s(), rss_bytes=process.rss_bytes(),
            readers=[reader_health(r) for r in self.readers], stopped_ms=self._stopped_ms, pid_namespace=process.pid_namespace(),
            shipping=shipping, machine_boot=self._machine_boot, beat_up_s=process.up_s(),
            silences=Silences(
                # any of them: one that hangs may have the latest instant for long, by a clock that was ahead
                reading_ms=silent("reading", tuple(r.last_ts_ms for r in self.readers)), sync_ms=silent("sync", spool.last_sync_ms),
                acked_ms=silent("acked", shipping and shipping.acked_records), shipped_ms=silent("shipped", shipping and shipping.beat_ms),
                lost_records_ms=silent("lost records", lost_records), lost_rows_ms=silent("lost rows", lost_rows)),
        )

    def _event_row(self, event: Event) -> dict[str, object]:
        row: dict[str, object] = {"node": self.node, "event": event.event, "detail": event.detail, "event_ms": event.at_ms}
        if event.device is not None:
            row["device"] = event.device
        return row

    def _lost_records(self) -> int:
        # what the spool has deleted is not lost where it is on its way to Kafka already: only the shipper knows
        return self.spool.lost_records if self.shipping is None else self.shipping.lost

    def _lost_rows(self) -> int:
        return self.spool.lost_rows + sum(c.dropped for r in self.readers for c in tuple(r.channels.values()))

    def _loss_rows(self, now_ms: int) -> list[dict[str, object]]:
        records, rows = self._lost_records(), self._lost_rows()
        found = []
        if records > self._reported_records:
            found.append(f"{records - self._reported_records} of the oldest records deleted: the log is at agent.spool_max_mib")
        if rows > self._reported_rows:
            found.append(f"{amount(rows - self._reported_rows, 'row')} given up in memory: the log could not be written, or one row was over its limit")
        if self.shipping is not None:
            found += self.shipping.losses()
        self._reported_records, self._reported_rows = records, rows
        return [{"node": self.node, "event": "records_lost", "detail": detail, "event_ms": now_ms} for detail in found]

    def _keep(self) -> None:
        """Keep the lives of the counters and the inventory for the next start."""
        for reader in self.readers:
            self._kept.update(reader.lives())
        self._store(EPOCHS, epochs.encode(self._kept, self._boot_id))
        self._store(INVENTORY, self.inventory.encode())

    def _store(self, name: str, raw: bytes, mode: int | None = None) -> None:
        try:
            replace(self.state / name, raw, mode)
        except OSError as error:
            if not self._state_failed:
                self._say("state_not_kept", "warning", file=name, error=error.strerror)
            self._state_failed = True
        else:
            self._state_failed = False

    def _say(self, event: str, level: str = "info", **fields: object) -> None:
        if self._events is not None:
            with suppress(OSError):  # stderr may be gone; the agent is not
                getattr(self._events, level)(event, **fields)


def reader_health(reader: Reader) -> ReaderHealth:
    """How a reader does."""
    problems = [str(p) for p in reader.problems()]
    state = "hung" if reader.hung else "failing" if problems else "absent" if reader.absent is not None else "reading"
    return ReaderHealth(
        name=reader.sensor.name, state=state, devices=[d.name for d in reader.devices], last_reading_ms=reader.last_ts_ms,
        readings=reader.readings, failures=reader.failures, problems=problems or ([reader.absent] if reader.absent else []),
        left_out=reader.left_out,
    )


def stop_on_signals(agent: Agent) -> None:
    """Let SIGTERM and SIGINT end the agent after a last flush."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop.set())
