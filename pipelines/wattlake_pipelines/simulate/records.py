"""All records of a simulation, in the order in which they reach the log."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import msgspec

from wattlake_contracts.layout import HOUR_MS
from wattlake_contracts.record import ARROW, JSON, Meta
from wattlake_pipelines.simulate.events import Event, Service, inventory, job_edges, renewals, transfers
from wattlake_pipelines.simulate.fleet import Node, fleet
from wattlake_pipelines.simulate.messages import messages
from wattlake_pipelines.simulate.meter import Meter, Sweep
from wattlake_pipelines.simulate.options import LATE, Options
from wattlake_pipelines.simulate.reference import embodied, grid, sites
from wattlake_pipelines.simulate.workload import Run, runs_by_node

#: The writer of sites, grid and embodied figures.
REFERENCE_NODE = "sim-reference"
#: So much of the node-hours reach the log late, up to so long after.
_LATE_SHARE, _LATE_HOURS = 0.02, 12
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Written:
    """A record to be: (meta.node, meta.boot, seq) is its identity. writer: the index of its node, -1 for the reference."""

    meta: Meta
    seq: int
    appended_ms: int
    payload: bytes
    writer: int
    readings: int = 0


@dataclass
class NodeTally:
    """What a simulation wrote for one node. energy_mj: of each device, true, from its first reading to its last in each life."""

    node: str
    site: str
    records: int = 0
    readings: int = 0
    jobs: int = 0
    lives: int = 1
    energy_mj: dict[str, int] = field(default_factory=dict)

    @property
    def leaves_mj(self) -> int:
        """The node's energy without counting any twice: the wall where there is one, else its parts."""
        return self.energy_mj["wall"] if "wall" in self.energy_mj else sum(self.energy_mj.values())


class Simulation:
    """A fleet and its work. `tallies` are filled while `records` is read."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.nodes = fleet(options)
        self.runs = runs_by_node(options, self.nodes)
        self.meters = [Meter(options, n, r) for n, r in zip(self.nodes, self.runs, strict=True)]
        self.tallies = [
            NodeTally(n.name, n.site if n.inventory else "", jobs=len({r.job.name for r in runs}), lives=len(n.lives))
            for n, runs in zip(self.nodes, self.runs, strict=True)
        ]

    def records(self) -> Iterator[list[Written]]:
        """The records, a node-hour at a time, each list in order of appended_ms; what is late comes in a later list."""
        o = self.options
        writers = [_NodeWriter(o, n, r, m) for n, r, m in zip(self.nodes, self.runs, self.meters, strict=True)]
        queues = [_sorted_events(o, n, r, {m.index: m.site for m in self.nodes}) for n, r in zip(self.nodes, self.runs, strict=True)]
        reference = _Reference(o)
        held: list[tuple[int, int, Written]] = []
        ticket = count()
        yield reference.until(o.start_ms)
        for hour in range(o.start_ms, o.end_ms, HOUR_MS):
            for writer, queue in zip(writers, queues, strict=True):
                made = writer.hour(hour, queue)
                late = o.random(LATE, writer.node.index, (hour - o.start_ms) // HOUR_MS)
                if o.gaps and late.random() < _LATE_SHARE:
                    until = hour + int(late.integers(1, _LATE_HOURS)) * HOUR_MS
                    some = [w for w in made if w.readings]
                    for w in some:
                        heapq.heappush(held, (until, next(ticket), w))
                    made = [w for w in made if not w.readings]
                self._count(writer.node.index, made)
                yield made
            yield from self._release(held, hour)
            yield reference.until(hour + HOUR_MS)
        yield from self._release(held, None)
        yield reference.until(None)
        for tally, node, meter in zip(self.tallies, self.nodes, self.meters, strict=True):
            tally.energy_mj = dict(zip((d.name for d in node.devices), meter.true_mj.tolist(), strict=True))

    def _count(self, index: int, made: list[Written]) -> None:
        tally = self.tallies[index]
        tally.records += len(made)
        tally.readings += sum(w.readings for w in made)

    def _release(self, held: list[tuple[int, int, Written]], until: int | None) -> Iterator[list[Written]]:
        out = []
        while held and (until is None or held[0][0] <= until):
            out.append(heapq.heappop(held)[2])
        for w in out:
            self._count(w.writer, [w])
        yield out


def boots_of(options: Options) -> set[str]:
    """The boots of all records of a simulation, by which they are told from those of any other."""
    return {_boot(options), *(_boot(options, node.index, life.number) for node in fleet(options) for life in node.lives)}


def _boot(options: Options, *writer: int) -> str:
    """Of a node's life (index and number), or of the reference."""
    return options.name("boot", *(writer or ("reference",)))


def truth(options: Options) -> dict[tuple[str, str], int]:
    """(node, device) -> its true energy in mJ, each life from its first reading to its last.

    Gaps lose no energy: a counter that is read again tells what was missed. What a node draws
    between a crash and its next reading is nobody's.
    """
    nodes = fleet(options)
    found: dict[tuple[str, str], int] = {}
    for node, runs in zip(nodes, runs_by_node(options, nodes), strict=True):
        meter = Meter(options, node, runs)
        for hour in range(options.start_ms, options.end_ms, HOUR_MS):
            meter.hour(hour)
        found |= {(node.name, d.name): mj for d, mj in zip(node.devices, meter.true_mj.tolist(), strict=True)}
    return found


def _sorted_events(options: Options, node: Node, runs: list[Run], site_of: dict[int, str]) -> list[tuple[int, Event]]:
    """(life, event) of a node, latest first, so that the next one is popped from the end."""
    found = []
    for life in node.lives:
        for event in (*inventory(options, node, life), *job_edges(options, node, runs, life)):
            found.append((life.number, event))
    for event in transfers(node, runs, site_of):
        at = next((x for x in node.lives if x.start_ms <= event.at_ms < x.end_ms), None)
        if at is not None:
            found.append((at.number, event))
    return sorted(found, key=lambda e: (e[0], e[1].at_ms), reverse=True)


class _NodeWriter:
    """Gives a node's records their identity: a boot per life, a seq in order of writing."""

    def __init__(self, options: Options, node: Node, runs: list[Run], meter: Meter) -> None:
        self.node, self._options, self._runs, self._meter = node, options, runs, meter
        self._service = Service(options, node, runs)
        self._seq = dict.fromkeys(range(len(node.lives)), 0)

    def hour(self, start_ms: int, queue: list[tuple[int, Event]]) -> list[Written]:
        """The records of an hour. queue: the node's events, latest first; those of the hour are taken."""
        due: dict[int, list[tuple[int, str, bytes, int]]] = {}
        for sweep in self._meter.hour(start_ms):
            due.setdefault(sweep.life.number, []).extend(self._readings(sweep))
        while queue and queue[-1][1].at_ms < start_ms + HOUR_MS:
            number, event = queue.pop()
            due.setdefault(number, []).append((event.at_ms, event.kind, _encode(event.rows), 0))
        for life in self.node.lives:
            if life.start_ms >= start_ms + HOUR_MS or life.end_ms <= start_ms:
                continue
            for event in (*renewals(self._options, self.node, self._runs, life, start_ms), *self._service.hour(life, start_ms)):
                due.setdefault(life.number, []).append((event.at_ms, event.kind, _encode(event.rows), 0))
        made = []
        for number in sorted(due):
            boot = _boot(self._options, self.node.index, number)
            metas = {k: Meta(k, self.node.name, boot, content_type=ARROW if k == "readings" else JSON)
                     for k in ("readings", "nodes", "jobs", "transfers", "serving")}
            for at, kind, payload, rows in sorted(due[number], key=lambda d: (d[0], d[1])):
                made.append(Written(metas[kind], self._seq[number], at, payload, self.node.index, rows))
                self._seq[number] += 1
        return made

    def _readings(self, sweep: Sweep) -> Iterator[tuple[int, str, bytes, int]]:
        for at, rows, payload in messages(self._options, self.node, sweep):
            yield at, "readings", payload, rows


class _Reference:
    """Sites, embodied figures and the grid, as their time comes."""

    def __init__(self, options: Options) -> None:
        self._boot = _boot(options)
        self._events = [*reversed(list(grid(options))), embodied(options), sites(options)]
        self._seq = 0

    def until(self, end_ms: int | None) -> list[Written]:
        """The records that are due by then; all that are left if None."""
        made = []
        while self._events and (end_ms is None or self._events[-1].at_ms <= end_ms):
            event = self._events.pop()
            made.append(Written(Meta(event.kind, REFERENCE_NODE, self._boot), self._seq, event.at_ms, _encode(event.rows), -1))
            self._seq += 1
        return made
