"""`wattlake import KIND FILE…`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattlake_contracts.amount import amount
from wattlake_contracts.commands import itself
from wattlake_contracts.config import load
from wattlake_contracts.errors import INCOMPLETE, UsageError, WattlakeError
from wattlake_contracts.filelog.boots import boots
from wattlake_contracts.filelog.partition import LogError, partitions
from wattlake_contracts.filelog.writer import LogWriter, open_pooled
from wattlake_contracts.kafkalog.outbox import outbox, shipping_line
from wattlake_contracts.kind import Kind
from wattlake_contracts.kinds import IMPORT_KINDS, KINDS
from wattlake_contracts.log_address import FileLog, log_address, record_limit
from wattlake_contracts.options import ConfigOption, FormatOption, LogOption, check_format, emit, say

if TYPE_CHECKING:
    from wattlake_pipelines.imports.run import Outcome

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})

#: The partitions that imports write to.
_STEM = "import"
_COLUMNS = ("file", "kind", "rows", "accepted", "rejected", "records", "boot", "dry_run", "known")


@app.command(name="import")
def import_(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"What the rows are: {', '.join(IMPORT_KINDS)}.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="CSV (.csv, .csv.gz) or Parquet.")],
    config: ConfigOption = None,
    log: LogOption = None,
    form: FormatOption = "table",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files and write nothing.")] = False,
    accept_implausible: Annotated[
        bool, typer.Option("--accept-implausible", help="Take carbon figures that look to be in another unit.")] = False,
    again: Annotated[bool, typer.Option(
        "--again", help="Tell the rows anew, as of now: figures that have been corrected since hold again as this file has them.")] = False,
) -> None:
    """Read CSV or Parquet files into the log.

    Bad rows are left out, kept as rejects and reported with their line; the exit code is then 4.
    The same file imported twice counts once. The columns of each kind are in docs/reference.md.

    To correct reference data (nodes, sites, grid, embodied, instruments), a transfer, or what is said of a
    job that has ended, import the row with its new value: what was told last holds. To take a correction
    back import the first file with --again. What cannot be corrected so: readings, usage and serving are
    counters, and of two values at one instant a rule that knows no order keeps one and flags it; a job's
    start is a part of its key, so that another start is another job. The rows of one file are told at
    one time: of rows of one key that differ their content decides, and a warning names their lines.
    """
    # pyarrow is not loaded for --help
    from wattlake_pipelines.imports.run import import_file, open_file

    check_format(form)
    chosen = _kind(kind)
    opened = [open_file(path, chosen) for path in files]
    settings = load(config)
    address = log_address(settings, log)
    limit = record_limit(address, settings.kafka)
    known = _boots(address.root) if isinstance(address, FileLog) else set()
    again_ms = time.time_ns() // 1_000_000 if again else None
    with ExitStack() as stack:
        writer = None if dry_run else stack.enter_context(_writer(stack.enter_context(outbox(address, settings.kafka, shipping_line())), limit))
        outcomes = []
        for item in opened:
            with _progress(item.source.path.name) as progress:
                outcomes.append(import_file(item, writer, accept_implausible=accept_implausible, again_ms=again_ms,
                                            known=known, limit_bytes=limit, progress=progress))
            _tell(outcomes[-1])
    if form == "json":
        emit((*_COLUMNS, "reasons"), [(*_row(o), o.reasons) for o in outcomes], form)
    elif form == "csv":
        emit(_COLUMNS, map(_row, outcomes), form)
    if any(o.rejected or o.ahead for o in outcomes):
        raise typer.Exit(INCOMPLETE)


def _kind(name: str) -> Kind:
    if name not in IMPORT_KINDS:
        near = get_close_matches(name, IMPORT_KINDS, n=1)
        raise UsageError(f"no kind {name!r}", next_step=f"{f'did you mean {near[0]}? ' if near else ''}kinds: {', '.join(IMPORT_KINDS)}")
    return KINDS[name]


def _boots(root: Path) -> set[str]:
    """The files that the log holds already."""
    return {boot for name in (partitions(root) if root.is_dir() else []) if name.startswith(f"{_STEM}.") for boot in boots(root, name)}


@contextmanager
def _writer(root: Path, limit_bytes: int) -> Iterator[LogWriter]:
    try:
        with open_pooled(root, _STEM, max_record_bytes=limit_bytes) as writer:
            yield writer
    except (LogError, OSError) as error:
        raise WattlakeError(f"cannot write the log: {error}", subject=str(root),
                            next_step="make room, or name another folder: by --log, or where the log is on Kafka by TMPDIR") from error


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int], None]]:
    """A count of rows on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{name} …") as status:
        yield lambda rows: status.update(f"{name}: {amount(rows, 'row')}")


def _row(outcome: Outcome) -> tuple[object, ...]:
    return tuple(getattr(outcome, name) for name in _COLUMNS)


def _tell(outcome: Outcome) -> None:
    done = "would be imported" if outcome.dry_run else "imported"
    if outcome.known:
        done = "already imported, each counted once"
    say(f"{outcome.file}: {outcome.accepted:,} of {amount(outcome.rows, 'row')} of {outcome.kind} {done}, {outcome.rejected:,} rejected")
    if outcome.known and not outcome.dry_run:
        say("  nothing changes, even if others have corrected them since: --again tells them anew")
    for reject in outcome.reasons:
        say(f"  {reject['place']}: {reject['reason']}")
    if outcome.rejected > len(outcome.reasons):
        say(f"  and {outcome.rejected - len(outcome.reasons):,} more; after landing: {itself()} sql \"FROM rejects\"")
    for line in (*outcome.contradictions, *outcome.lacking):
        say(f"  {line}")
    if outcome.ahead:
        say(f"  {amount(outcome.ahead, 'row', 'lie')} more than 24 h ahead of this machine's clock: landing will reject "
            f"{'it' if outcome.ahead == 1 else 'them'}; check the times")
