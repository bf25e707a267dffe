"""`wattlake run`, `wattlake land`, `wattlake account`."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from wattlake_contracts import config as configuration
from wattlake_contracts.errors import INCOMPLETE
from wattlake_contracts.options import ConfigOption, FormatOption, LakeOption, LogOption, check_format, emit, say
from wattlake_pipelines.lake.room import room_in

if TYPE_CHECKING:
    from wattlake_pipelines.lake.committer import Committer

_CONTEXT = {"help_option_names": ["-h", "--help"]}
_EPILOG = "What stands after -- goes to Beam, e.g. -- --runner=FlinkRunner. Exit code 4: some rows were rejected, see `wattlake sql \"FROM rejects\"`."

run_app = typer.Typer(rich_markup_mode=None, context_settings=_CONTEXT)
land_app = typer.Typer(rich_markup_mode=None, context_settings=_CONTEXT)
account_app = typer.Typer(rich_markup_mode=None, context_settings=_CONTEXT)

BeamOptions = Annotated[list[str] | None, typer.Argument(help="Options for Beam, after --.", metavar="[-- BEAM OPTIONS]", show_default=False)]
RangesOption = Annotated[int, typer.Option("--ranges", min=1, help="Cut each segment of the log into this many ranges at least; more give more workers work.")]
UntilOption = Annotated[str | None, typer.Option(
    "--until", help="Let embodied emissions accrue to this instant (ISO 8601 with zone) instead of the latest that the data speaks of.")]


def _quiet() -> None:
    """Keep Beam's advice on things that nobody here chose out of the user's sight."""
    # Beam logs each error of a step with its traceback before it raises it; the command tells it once, and in full with --debug
    logging.getLogger("apache_beam").setLevel(logging.ERROR if os.environ.get("WATTLAKE_DEBUG") else logging.CRITICAL)
    logging.getLogger().setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="apache_beam")


def _open(config: configuration.Config, lake: str | None) -> Committer:
    from wattlake_pipelines.lake.committer import Committer
    from wattlake_pipelines.lake.seed import seed

    settings = {"long_gap_ms": str(round(config.pipelines.long_gap_s * 1000))}
    committer = Committer(configuration.lake_root(config, lake), shards=config.pipelines.shards, settings=settings)
    try:
        seed(committer)
    except BaseException:
        committer.close()
        raise
    return committer


def _progress() -> Callable[[int, int], None] | None:
    if not sys.stderr.isatty():
        return None
    began = time.monotonic()

    def show(records: int, rows: int) -> None:
        print(f"\r  landed {records:,} records, {rows:,} rows ({rows / max(time.monotonic() - began, 1e-3):,.0f} rows/s)", end="", file=sys.stderr, flush=True)

    return show


def _until(value: str | None) -> int | None:
    if value is None:
        return None
    from datetime import datetime

    try:
        when = datetime.fromisoformat(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} is not ISO 8601", param_hint="--until") from error
    if when.tzinfo is None:
        raise typer.BadParameter(f"{value!r} has no time zone; write it with Z or an offset", param_hint="--until")
    return int(when.timestamp() * 1000)


def _work(config_file: str | None, lake: str | None, log: str | None, form: str, beam: list[str] | None, *, landing: bool, accounting: bool,
          ranges: int = 1, until: str | None = None) -> None:
    check_format(form)
    until_ms = _until(until)
    config = configuration.load(config_file)
    _quiet()
    began = time.monotonic()
    outcome: dict[str, object] = {}
    root = configuration.log_root(config, log) if landing else None
    if root is not None:
        from wattlake_contracts.filelog.partition import partitions

        # a log that is not there is the user's mistake: say so before a lake is made
        partitions(root)
    with room_in(configuration.lake_root(config, lake)), _open(config, lake) as committer:
        if root is not None:
            from wattlake_pipelines.land.land import land

            landed = land(committer, root, round_bytes=config.pipelines.round_mib * 2**20, pieces=ranges, options=beam or (), progress=_progress())
            if sys.stderr.isatty() and landed.rounds:
                say("")
            outcome |= {"records": landed.records, "rows": landed.rows, "rejects": landed.rejects}
        if accounting:
            from wattlake_pipelines.account.account import account

            accounted = account(committer, options=beam or (), until_ms=until_ms)
            outcome |= {"elements": accounted.elements, "fact_rows": accounted.rows, "raw_files_opened": len(accounted.opened)}
        outcome["seconds"] = round(time.monotonic() - began, 3)
        emit(list(outcome), [list(outcome.values())], form)
    if outcome.get("rejects"):
        say(f"{outcome['rejects']} rows were rejected; see them with: wattlake sql \"SELECT place, reason FROM rejects\"")
        raise typer.Exit(INCOMPLETE)


@run_app.command(epilog=_EPILOG)
def run(beam: BeamOptions = None, config: ConfigOption = None, lake: LakeOption = None, log: LogOption = None, form: FormatOption = "table",
        ranges: RangesOption = 1, until: UntilOption = None) -> None:
    """Land what is on the log, then account for it. Safe to repeat, to interrupt and to run from a timer."""
    _work(config, lake, log, form, beam, landing=True, accounting=True, ranges=ranges, until=until)


@land_app.command(epilog=_EPILOG)
def land(beam: BeamOptions = None, config: ConfigOption = None, lake: LakeOption = None, log: LogOption = None, form: FormatOption = "table",
         ranges: RangesOption = 1) -> None:
    """Land what is on the log: check, deduplicate, sort, and commit it to the lake as Parquet."""
    _work(config, lake, log, form, beam, landing=True, accounting=False, ranges=ranges)


@account_app.command(epilog=_EPILOG)
def account(beam: BeamOptions = None, config: ConfigOption = None, lake: LakeOption = None, form: FormatOption = "table", until: UntilOption = None) -> None:
    """Account for what has landed: energy, emissions and embodied carbon of all that has changed."""
    _work(config, lake, None, form, beam, landing=False, accounting=True, until=until)
