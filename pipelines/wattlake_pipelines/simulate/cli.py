"""`wattlake simulate`."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from wattlake_contracts.amount import amount
from wattlake_contracts.commands import itself
from wattlake_contracts.config import data_home, load
from wattlake_contracts.errors import UsageError
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.kafkalog.outbox import outbox, shipping_line
from wattlake_contracts.kind import AHEAD_MS
from wattlake_contracts.log_address import FileLog, KafkaLog, lake_root, log_address, record_limit
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
    """Write a seeded, simulated fleet to a log of its own.

    Without --log or --config that is wattlake/simulated/log under $XDG_DATA_HOME, or under
    ~/.local/share, and never the log of ./wattlake.toml or of $WATTLAKE_LOG: a lake keeps what it has
    taken. Its last lines say how to go on, and what to delete in the end. A log holds one fleet: with
    another seed or other options it is refused, with the same ones nothing changes.

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
    settings = load(config)
    configured = bool(config and settings.log)
    own = data_home() / "simulated"
    address = log_address(settings, log) if log or configured else FileLog(own / "log")
    before = set(partitions(address.root)) if isinstance(address, FileLog) and address.root.is_dir() else set()
    amounts = {"--days": days, "--interval": interval, "--failures": failures, "--renew": renew}
    for name, value in amounts.items():
        if not math.isfinite(value):
            raise UsageError(f"{name} {value} is no number to reckon with", next_step="see `wattlake simulate --help`")

    from wattlake_pipelines.simulate.options import DEFAULT_START_MS, Options
    from wattlake_pipelines.simulate.write import PARTITION, holds_another
    from wattlake_pipelines.simulate.write import simulate as write

    options = Options(nodes, days, seed, DEFAULT_START_MS if start is None else _instant_ms(start), round(interval * 1000), gpus, gaps,
                      failures, round(renew * 1000))
    if isinstance(address, KafkaLog) and options.end_ms > time.time_ns() // 1_000_000 + AHEAD_MS:
        raise UsageError("--start and --days end more than 24 h from now: of what is written to Kafka, rows that are so far ahead of the brokers' clock are "
                         "rejected", next_step="simulate what is past, or write to a file log, whose records tell their own time")
    if isinstance(address, FileLog) and holds_another(address.root, options):
        _refuse_another(address.root, own, alone=all(name.startswith(f"{PARTITION}.") for name in before))
    begun = time.monotonic()
    with outbox(address, settings.kafka, shipping_line()) as root, _progress() as advance:
        summary = write(root, options, writers=writers, progress=advance, limit_bytes=record_limit(address, settings.kafka))
    took = max(time.monotonic() - begun, 1e-9)
    emit(_COLUMNS, ((t.node, t.site or None, t.lives, t.records, t.readings, t.jobs, t.leaves_mj) for t in summary.nodes), form)
    say(f"{amount(summary.records, 'record')}, {amount(summary.readings, 'reading')}, {amount(summary.payload_bytes, 'byte')} in {address}: "
        f"{took:.1f} s, {summary.readings / took / 1e6:.2f} million readings a second")
    if others := sorted(p for p in before if not p.startswith(f"{PARTITION}.")):
        say(f"this log holds what others wrote as well ({', '.join(others[:3])}{' …' if len(others) > 3 else ''}): "
            f"its lake will hold both, and what is simulated is marked so")
    # the lake of ./wattlake.toml is not for it, unless that was asked for
    lake = lake_root(settings) if configured and not log else (address.root.absolute().parent if isinstance(address, FileLog) else own) / "lake"
    _tell_how_to_go_on(address, lake, own if address == FileLog(own / "log") else None)


def _refuse_another(root: Path, own: Path, *, alone: bool) -> None:
    """UsageError: two fleets of the same names in one lake would be one of neither."""
    folder = own if root == own / "log" else root if alone else root / "simulate.*"
    lake = "" if folder == own else " and the lake that was made of it"
    raise UsageError("holds a simulated fleet of another seed or other options, whose machines have the same names", subject=str(root),
                     next_step=f"give another --log, or first delete that fleet ({folder}{lake}); the same options again change nothing")


def _tell_how_to_go_on(address: FileLog | KafkaLog, lake: Path, own: Path | None) -> None:
    """Say how to account for the simulated log, in commands to be pasted, and what to delete where all of it lies in a folder of its own."""
    wattlake, folder = itself(), shlex.quote(str(lake))
    say(f"account for it:  {wattlake} run --log {shlex.quote(address.address)} --lake {folder}\n"
        f"look at it:      {wattlake} report --lake {folder}")
    if own:
        say(f"be rid of it:    rm -r {shlex.quote(str(own))}")


def _instant_ms(text: str) -> int:
    """ISO 8601 with a zone as epoch ms; UsageError if it is not."""
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None:
            raise UsageError(f"--start {text!r} has no zone", next_step="write it like 2025-03-03T00:00Z")
        return round(when.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--start {text!r} is not ISO 8601", next_step="write it like 2025-03-03T00:00Z") from error


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
