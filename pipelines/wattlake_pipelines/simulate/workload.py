"""The work: life cycles of models over groups of nodes, and services that answer all day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from wattlake_contracts.layout import DAY_MS, HOUR_MS
from wattlake_pipelines.simulate.fleet import Node
from wattlake_pipelines.simulate.options import JOBS, Options

#: What a crashed job's other nodes take to notice.
_NOTICE_MS = 60_000
#: How busy a job keeps its GPUs and the CPUs of its node, by phase (fractions; made up).
BUSY = {
    "data": (0.0, 0.8), "experiment": (0.7, 0.2), "train": (0.92, 0.25), "finetune": (0.85, 0.2),
    "evaluate": (0.55, 0.3), "inference": (0.75, 0.15),
}
GROUP_NODES = 4


@dataclass(frozen=True)
class Job:
    """A job as it was meant to run. gpu: the only device it holds, or None for whole nodes. about: further columns of kind jobs."""

    name: str
    phase: str
    status: str
    nodes: tuple[int, ...]
    gpu: int | None
    start_ms: int
    end_ms: int
    service: bool = False
    about: dict[str, object] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Run:
    """A job on one node as it came out. closed: False where the node died before it could say so."""

    job: Job
    node: int
    start_ms: int
    end_ms: int
    status: str
    closed: bool


def runs_by_node(options: Options, nodes: list[Node]) -> list[list[Run]]:
    """The runs of every node, by start and name."""
    runs: list[list[Run]] = [[] for _ in nodes]
    for job in jobs(options):
        for run in _as_it_came_out(job, nodes):
            runs[run.node].append(run)
    for mine in runs:
        mine.sort(key=lambda r: (r.start_ms, r.job.name))
    return runs


def jobs(options: Options) -> Iterator[Job]:
    """Every job of a simulation. A quarter of the nodes (of two or more) serve, the others train in groups of four."""
    serving = (options.nodes + 2) // 4 if options.nodes > 1 else 0
    training = options.nodes - serving
    for first in range(0, training, GROUP_NODES):
        yield from _life_cycles(options, first, tuple(range(first, min(first + GROUP_NODES, training))))
    for index in range(training, options.nodes):
        model = f"sim-chat-{index % 3}"
        yield Job(f"sim-serve-{index:04d}", "inference", "ok", (index,), None, options.start_ms + 5 * 60_000, options.end_ms - 60_000, True,
                  {"model": model, "base_model": "sim-base-0", "team": "serving", "project": "sim-assistant", "cost_centre": "sim-200",
                   "precision": "fp8", "params": 8_000_000_000})


def _life_cycles(options: Options, group: int, nodes: tuple[int, ...]) -> Iterator[Job]:
    """One model after the other: data, a search of experiments, training, fine-tuning, evaluation, a batch of inference."""
    cycle = 0
    now = options.start_ms + 60_000.0
    while True:
        stages = _Cycle(options, group, cycle, nodes, now)
        stages.draw()
        if not stages.jobs:
            return
        yield from stages.jobs
        now, cycle = stages.now, cycle + 1


class _Cycle:
    """One life cycle being drawn. now: where its next stage begins, epoch ms."""

    def __init__(self, options: Options, group: int, cycle: int, nodes: tuple[int, ...], now: float) -> None:
        self.now, self.jobs = now, list[Job]()
        self._options, self._group, self._nodes = options, group, nodes
        self._random = options.random(JOBS, group, cycle)
        # a short simulation has short jobs, so that it still shows whole life cycles
        self._hour = HOUR_MS * min(1.0, options.hours * HOUR_MS / DAY_MS)
        self._last = options.end_ms - 2 * 60_000
        self._key = f"{group:04d}-{cycle:03d}"
        self._params = int(self._random.choice([1, 3, 8, 30])) * 1_000_000_000
        self._common: dict[str, object] = {
            "model": f"sim-model-{self._key}", "team": f"sim-team-{group % 3}", "project": f"sim-project-{group % 5}",
            "cost_centre": f"sim-{100 + group % 7}", "user": f"sim-user-{int(self._random.integers(9))}", "precision": "bf16",
            "params": self._params,
        }

    def draw(self) -> None:
        """Draw every stage, as far as the simulation reaches."""
        model, corpus, nodes = self._common["model"], f"sim-corpus-{self._group}", self._nodes
        length = self._span(0.4, 1.2)
        self._job("data", "data", nodes[:1], None, length, 0.05, {"dataset": corpus, "examples": self._count(10**6, 10**8)})
        self.now += length + self._span(0.02, 0.1)

        length = self._span(1.0, 3.0)
        for node in nodes:
            for gpu in range(self._options.gpus):
                about = {"run_group": f"sim-search-{self._key}", "quality_metric": "loss", "quality_value": self._quality(1.8, 3.2)}
                mine = length * float(self._random.uniform(0.4, 1.0))
                self._job(f"exp-{node:04d}-{gpu:02d}", "experiment", (node,), gpu, mine, 0.25, about)
        self.now += length + self._span(0.02, 0.2)

        length = self._span(3.0, 9.0)
        tokens = int(length / 1000 * len(nodes) * self._options.gpus * 9000)
        # 6 N D: Kaplan et al., Scaling Laws for Neural Language Models, 2020
        about = {"dataset": corpus, "tokens": tokens, "flop": 6.0 * self._params * tokens, "quality_metric": "loss",
                 "quality_value": self._quality(1.6, 2.4)}
        self._job("train", "train", nodes, None, length, 0.15, about)
        self.now += length + self._span(0.05, 0.3)

        tuned: dict[str, object] = {"model": f"{model}-tuned", "base_model": model}
        length = self._span(0.5, 1.5)
        self._job("finetune", "finetune", nodes[:1], None, length, 0.1, {**tuned, "examples": self._count(10**4, 10**6)})
        self.now += length + self._span(0.02, 0.1)

        length = self._span(0.3, 0.8)
        about = {**tuned, "quality_metric": "accuracy", "quality_value": self._quality(0.5, 0.9)}
        self._job("evaluate", "evaluate", nodes[:1], None, length, 0.05, about)
        self.now += length
        self._job("batch", "inference", nodes[-1:], 0, length, 0.05, {**tuned, "tokens": self._count(10**6, 10**8)})
        self.now += length + self._span(0.2, 1.5)

    def _job(self, stage: str, phase: str, nodes: tuple[int, ...], gpu: int | None, length: float, failing: float,
             about: dict[str, object]) -> None:
        status = str(self._random.choice(["ok", "failed", "cancelled"], p=[1 - failing, 0.7 * failing, 0.3 * failing]))
        # what goes wrong goes wrong part of the way
        length *= 1.0 if status == "ok" else float(self._random.uniform(0.05, 0.8))
        end = min(self.now + length, self._last)
        if end - self.now >= 30_000:
            self.jobs.append(Job(f"sim-{stage}-{self._key}", phase, status, nodes, gpu, round(self.now), round(end), False,
                                 {**self._common, **about}))

    def _span(self, low: float, high: float) -> float:
        return float(self._random.uniform(low, high)) * self._hour

    def _count(self, low: int, high: int) -> int:
        return int(self._random.integers(low, high))

    def _quality(self, low: float, high: float) -> float:
        return round(float(self._random.uniform(low, high)), 4)


def _as_it_came_out(job: Job, nodes: list[Node]) -> Iterator[Run]:
    """A job begins on the nodes that are up; the first of them to crash takes it down everywhere."""
    up = {}
    for index in job.nodes:
        life = next((life for life in nodes[index].lives if life.start_ms <= job.start_ms < life.end_ms), None)
        if life is not None:
            up[index] = life
    if not up:
        return
    crash = min(life.end_ms for life in up.values())
    for index, life in up.items():
        if job.end_ms < crash:
            yield Run(job, index, job.start_ms, job.end_ms, job.status, True)
        elif life.end_ms <= crash + _NOTICE_MS:
            yield Run(job, index, job.start_ms, life.end_ms, "failed", False)
        else:
            yield Run(job, index, job.start_ms, crash + _NOTICE_MS, "failed", True)


def daily_load(ts_ms: np.ndarray) -> np.ndarray:
    """How busy people keep a service over a UTC day: 0.25 at 03:00, 1 at 15:00. ts_ms: any shape, epoch ms."""
    load: np.ndarray = 0.625 - 0.375 * np.cos(2 * np.pi * (ts_ms % DAY_MS - 3 * HOUR_MS) / DAY_MS)
    return load
