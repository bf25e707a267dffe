"""`wattlake simulate`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from wattlake_contracts.config import load, log_root
from wattlake_contracts.errors import UsageError
from wattlake_contracts.options import ConfigOption, FormatOption, LogOption, check_format, emit, say

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_COLUMNS = ("node", "site", "lives", "records", "readings", "jobs", "energy_mj")


@app.command()
def simulate(
    nodes: Annotated[int, typer.Option("--nodes", help="Machines.")] = 4,
    days: Annotated[float, typer.Option("--days", help="Length in days; a fraction is rounded to hours.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="The same seed and options give the same bytes.")] = 1,
    log: LogOption = None,
    start: Annotated[str | None, typer.Option("--start", help="First hour, ISO 8601 with a zone [default: 2025-03-03T00:00Z].")] = None,
    interval: Annotated[float, typer.Option("--interval", help="Seconds between two readings.")] = 1.0,
    gpus: Annotated[int, typer.Option("--gpus", help="GPUs in each machine.")] = 8,
    gaps: Annotated[bool, typer.Option("--gaps/--no-gaps", help="Lose some readings and deliver some late.")] = True,
    failures: Annotated[float, typer.Option("--failures", help="Crashes per node and day.")] = 0.1,
    renew: Annotated[float, typer.Option("--renew", help="Seconds between two renewals of an open job.")] = 60.0,
    writers: Annotated[int, typer.Option("--writers", help="Partitions of the log to spread the nodes over, at most.", min=1, max=256)] = 4,
    config: ConfigOption = None,
    form: FormatOption = "table",
) -> None:
    """Write a seeded, simulated fleet to the log.

    Everything is made up and marked so: simulated=true in every row whose kind has that column;
    zones are SIM-1 …, sites sim-north …, so that nothing mixes with real figures. It shows models'
    life cycles (data, experiments, training, fine-tuning, evaluation, inference), crashes, lost and
    late readings, transfers, services, an hourly grid that is restated later, a node that no
    inventory knows and GPUs without a counter.

    The mean power between two readings has white noise with a standard deviation of 2 % of the
    power + 0.3 W: at 500 W and 1 Hz some 15 bits of entropy in each reading, so that sizes on disk
    are realistic and do not flatter.

    Prints one row per node; energy_mj is the true energy, wall where there is a wall sensor, else
    the sum of the parts.
    """
    check_format(form)
    root = log_root(load(config), log)

    from wattlake_pipelines.simulate.options import DEFAULT_START_MS, Options
    from wattlake_pipelines.simulate.write import simulate as write

    options = Options(nodes, days, seed, DEFAULT_START_MS if start is None else _instant_ms(start), round(interval * 1000), gpus, gaps,
                      failures, round(renew * 1000))
    begun = time.monotonic()
    with _progress() as advance:
        summary = write(root, options, writers=writers, progress=advance)
    took = max(time.monotonic() - begun, 1e-9)
    emit(_COLUMNS, ((t.node, t.site or None, t.lives, t.records, t.readings, t.jobs, t.leaves_mj) for t in summary.nodes), form)
    say(f"{summary.records} records, {summary.readings} readings, {summary.payload_bytes} bytes in {root}: "
        f"{took:.1f} s, {summary.readings / took / 1e6:.2f} million readings a second")


def _instant_ms(text: str) -> int:
    """ISO 8601 with a zone as epoch ms; UsageError if it is not."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--start {text!r} is not ISO 8601", next_step="write it like 2025-03-03T00:00Z") from error
    if when.tzinfo is None:
        raise UsageError(f"--start {text!r} has no zone", next_step="write it like 2025-03-03T00:00Z")
    return round(when.astimezone(UTC).timestamp() * 1000)


@contextmanager
def _progress() -> Iterator[Callable[[int], None] | None]:
    """A count of records on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,} records"), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task("simulate", total=None)
        yield lambda n: bar.advance(task, n)
