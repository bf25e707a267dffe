"""`wattlake run`, `wattlake land`, `wattlake account`."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattlake_contracts import config as configuration
from wattlake_contracts.amount import amount
from wattlake_contracts.errors import INCOMPLETE, UsageError, WattlakeError
from wattlake_contracts.log_address import FileLog, KafkaLog, lake_root, log_address
from wattlake_contracts.options import ConfigOption, FormatOption, LakeOption, LogOption, TakeOverOption, check_format, emit, say
from wattlake_pipelines.allocator import choose_allocators
from wattlake_pipelines.given_instant import given_instant
from wattlake_pipelines.lake.lock import AtWorkError
from wattlake_pipelines.lake.room import room_in
from wattlake_pipelines.telling import Omissions, Progress, accounted_line, asking, landed_line, tell_mixture, tell_places, tell_unknown

if TYPE_CHECKING:
    from wattlake_pipelines.follow import Followed
    from wattlake_pipelines.lake.committer import Committer
    from wattlake_pipelines.land.source import Source, Withheld

#: Seconds from one round's begin to the next's, at least, while it follows.
_EVERY_S = 5.0
#: Seconds between two tries to reach the brokers.
_RETRY_S = 5.0
_CONTEXT = {"help_option_names": ["-h", "--help"]}
_BEAM = "What stands after -- goes to Beam, e.g. -- --runner=FlinkRunner."
_EPILOG = (f"{_BEAM} Exit code 4: some rows were rejected, see `wattlake sql \"FROM rejects\"`, or a topic could not be landed from.")
_RUN_EPILOG = (f"{_EPILOG} 1: it failed, or stopped at a gap. 130, 143: Ctrl-C or SIGTERM ended it; run it again. With --follow these two end it with 0, "
               "whatever was rejected, and 1 is a gap, or a committer that has taken over.")

run_app = typer.Typer(rich_markup_mode=None, context_settings=_CONTEXT)
land_app = typer.Typer(rich_markup_mode=None, context_settings=_CONTEXT)
account_app = typer.Typer(rich_markup_mode=None, context_settings=_CONTEXT)

BeamOptions = Annotated[list[str] | None, typer.Argument(help="Options for Beam, after --.", metavar="[-- BEAM OPTIONS]", show_default=False)]
RangesOption = Annotated[int, typer.Option("--ranges", min=1, help="Cut each segment of the log into this many ranges at least; more give more workers work.")]
AcceptGapOption = Annotated[bool, typer.Option(
    "--accept-gap", help="Go on where a topic has dropped records before they were landed; the gap is kept in rejects.")]
FollowOption = Annotated[bool, typer.Option("--follow", help="Go on with what comes, in small rounds, until stopped (Ctrl-C, SIGTERM).")]
EveryOption = Annotated[float | None, typer.Option(
    "--every", min=0.1, max=3600, help="With --follow: seconds from one round's begin to the next's, at least [default: 5].", metavar="SECONDS")]
UntilOption = Annotated[str | None, typer.Option(
    "--until", help="Let embodied emissions accrue to this instant (ISO 8601 with zone, or a day: its UTC midnight) instead of the latest "
                    "that the data speaks of.", metavar="INSTANT")]


def _quiet() -> None:
    """Keep Beam's advice on things that nobody here chose out of the user's sight."""
    # Beam logs each error of a step with its traceback before it raises it; the command tells it once, and in full with --debug
    debug = bool(os.environ.get("WATTLAKE_DEBUG"))
    logging.getLogger("apache_beam").setLevel(logging.ERROR if debug else logging.CRITICAL)
    logging.getLogger().setLevel(logging.ERROR)
    if not debug:
        # what a job server says of it, traces of Java and Python, comes in Beam's name by no logger of its own
        logging.getLogger().addFilter(lambda record: record.module != "portable_runner")
    warnings.filterwarnings("ignore", module="apache_beam")


def _open(config: configuration.Config, lake: Path, *, take_over: bool) -> Committer:
    from wattlake_pipelines.lake.committer import Committer
    from wattlake_pipelines.lake.seed import seed

    settings = {"long_gap_ms": str(round(config.pipelines.long_gap_s * 1000))}
    committer = Committer(lake, shards=config.pipelines.shards, settings=settings, take_over=take_over)
    try:
        seed(committer)
    except BaseException:
        committer.close()
        raise
    return committer


def _source(address: FileLog | KafkaLog, config: configuration.Config, lake: Path, beam: Sequence[str], *, accept_gap: bool, take_over: bool,
            stop: threading.Event | None) -> tuple[Source, bool]:
    """(the log, whether the lake is still to be taken over). stop: until it is set a log that is not there yet, or does not answer, is waited for; what is
    waited for is told once.

    What a lake that is there has landed before is accounted for meanwhile, and the lake then left to others until the log answers.
    """
    from wattlake_pipelines.land.open_source import open_source

    told: WattlakeError | None = None
    hindered: WattlakeError | None = None
    behind = True
    while True:
        try:
            return open_source(address, config.kafka, accept_gap=accept_gap), take_over
        except UsageError:
            raise
        except WattlakeError as error:
            if stop is None:
                raise
            told = _tell_once(error, told)
        if behind and not stop.is_set():
            failure = _account_for_what_landed(config, lake, beam, take_over=take_over)
            # who has the lake by the next try came after this one
            take_over = False
            behind = failure is not None
            if failure is not None:
                hindered = _tell_once(failure, hindered)
        if stop.wait(_RETRY_S):
            say("stopped: nothing was landed")
            raise typer.Exit from None


def _tell_once(error: WattlakeError, told: WattlakeError | None) -> WattlakeError:
    """Tell what is waited for unless it was told last, and give what is told now. Who is at work on a lake is told once, however far it comes."""
    at_work = isinstance(error, AtWorkError) and isinstance(told, AtWorkError)
    if not at_work and str(error) != str(told):
        say(f"wattlake: {error}\n  it is tried again")
    return error


def _account_for_what_landed(config: configuration.Config, lake: Path, beam: Sequence[str], *, take_over: bool) -> WattlakeError | None:
    """Account for what has landed in a lake, if there is one, and tell it where anything was; the error, if that failed and is to be tried again.

    SupersededError if another committer has taken over meanwhile.
    """
    from wattlake_pipelines.account.account import account
    from wattlake_pipelines.follow import as_failed_round
    from wattlake_pipelines.lake import meta
    from wattlake_pipelines.lake.committer import SupersededError

    began = time.monotonic()
    try:
        if not meta.exists(lake):
            return None
        with room_in(lake), _open(config, lake, take_over=take_over) as committer:
            accounted = account(committer, options=beam)
    except (SupersededError, UsageError):
        raise
    except Exception as error:  # as in a round that follows, whatever it is may pass
        return as_failed_round(error, lake)
    if accounted.elements:
        say(accounted_line(accounted, time.monotonic() - began))
    return None


def _work(config_file: str | None, lake: str | None, log: str | None, form: str, beam: list[str] | None, *, landing: bool, accounting: bool,
          ranges: int = 1, until: str | None = None, accept_gap: bool = False, take_over: bool = False, every_s: float | None = None) -> None:
    choose_allocators()
    check_format(form)
    until_ms = given_instant(until, "--until")
    config = configuration.load(config_file)
    _quiet()
    if beam:
        from wattlake_pipelines.beam_options import check_beam_options

        check_beam_options(beam, lambda doubt: say(f"wattlake: {doubt}"))
    began = time.monotonic()
    outcome: dict[str, object] = {}
    lines: list[str] = []
    withheld: Sequence[Withheld] = ()
    unknown: Mapping[tuple[str, str], int] = {}
    address = log_address(config, log) if landing else None
    target = lake_root(config, lake, log)
    stop = None if every_s is None else _told_to_stop()
    # a log that is not there is the user's mistake: say so before a lake is made
    source = None
    if address is not None:
        source, take_over = _source(address, config, target, beam or (), accept_gap=accept_gap, take_over=take_over, stop=stop)
    tell_places(address, target)
    progress = Progress()
    with room_in(target), _open(config, target, take_over=take_over) as committer:
        if source is not None:
            tell_mixture(committer, source.identity)
        if source is not None and every_s is not None and stop is not None:
            _follow(committer, source, stop, every_s, config.pipelines.round_mib * 2**20, beam or (), ranges)
            return
        try:
            if source is not None:
                from wattlake_pipelines.land.land import land

                landed = land(committer, source, round_bytes=config.pipelines.round_mib * 2**20, pieces=ranges, options=beam or (),
                              progress=progress.landed if progress.terminal else None)
                withheld = landed.withheld
                outcome |= {"records": landed.records, "rows": landed.rows, "rejects": landed.rejects}
                lines.append(landed_line(landed, time.monotonic() - began))
                unknown = landed.unknown
            if accounting:
                from wattlake_pipelines.account.account import account

                halfway = time.monotonic()
                accounted = account(committer, options=beam or (), until_ms=until_ms,
                                    progress=progress.accounted if progress.terminal else None)
                outcome |= {"elements": accounted.elements, "fact_rows": accounted.rows, "raw_files_opened": len(accounted.opened)}
                lines.append(accounted_line(accounted, time.monotonic() - halfway))
        finally:
            progress.done()
        outcome["seconds"] = round(time.monotonic() - began, 3)
        if form == "table":
            print("\n".join(lines))
        else:
            emit(list(outcome), [list(outcome.values())], form)
    tell_unknown(unknown)
    rejects = outcome.get("rejects", 0)
    if isinstance(rejects, int) and rejects:
        say(f"{amount(rejects, 'row', 'were')} rejected; see why with: {asking('SELECT place, reason FROM rejects', config_file, committer.lake)}")
    Omissions().tell(withheld)
    if rejects or withheld:
        raise typer.Exit(INCOMPLETE)


def _told_to_stop() -> threading.Event:
    """Set by Ctrl-C and SIGTERM from now on."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _follow(committer: Committer, source: Source, stop: threading.Event, every_s: float, round_bytes: int, beam: Sequence[str], ranges: int) -> None:
    from wattlake_pipelines.follow import follow

    say("following: Ctrl-C or SIGTERM ends it after the round that is under way")

    told: set[tuple[str, str]] = set()

    def heard(done: Followed) -> None:
        tell_unknown({column: count for column, count in done.unknown.items() if column not in told})
        told.update(done.unknown)
        say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}  {_landed(done)}")

    done = follow(committer, source, every_s=every_s, round_bytes=round_bytes, stop=stop, options=beam, pieces=ranges, heard=heard,
                  failed=lambda error: say(f"wattlake: {error}\n  it is tried again"), withheld=Omissions().tell,
                  asked=lambda what: say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}  {what}"))
    say(f"stopped: {_landed(done)}, {amount(done.failures, 'round')} failed")


@run_app.command(epilog=_RUN_EPILOG)
def run(beam: BeamOptions = None, config: ConfigOption = None, lake: LakeOption = None, log: LogOption = None, form: FormatOption = "table",
        ranges: RangesOption = 1, until: UntilOption = None, accept_gap: AcceptGapOption = False, follow: FollowOption = False,
        every: EveryOption = None, take_over: TakeOverOption = False) -> None:
    """Land what is on the log, then account for it. Safe to repeat, to interrupt and to run from a timer.

    With --follow it goes on with what comes: what fails and may pass, such as brokers that are away, is
    told and tried again; a gap in a topic stops it until somebody decides.
    """
    if follow and until is not None:
        raise typer.BadParameter("an instant makes no sense with --follow", param_hint="--until")
    if every is not None and not follow:
        raise UsageError("tells how often to go on, and without --follow nothing goes on", subject="--every",
                         next_step="add --follow, or leave --every out and run it from a timer")
    _work(config, lake, log, form, beam, landing=True, accounting=True, ranges=ranges, until=until, accept_gap=accept_gap, take_over=take_over,
          every_s=(every or _EVERY_S) if follow else None)


@land_app.command(epilog=_EPILOG)
def land(beam: BeamOptions = None, config: ConfigOption = None, lake: LakeOption = None, log: LogOption = None, form: FormatOption = "table",
         ranges: RangesOption = 1, accept_gap: AcceptGapOption = False, take_over: TakeOverOption = False) -> None:
    """Land what is on the log: check, deduplicate, sort, and commit it to the lake as Parquet."""
    _work(config, lake, log, form, beam, landing=True, accounting=False, ranges=ranges, accept_gap=accept_gap, take_over=take_over)


@account_app.command(epilog=_EPILOG)
def account(beam: BeamOptions = None, config: ConfigOption = None, lake: LakeOption = None, form: FormatOption = "table", until: UntilOption = None,
            take_over: TakeOverOption = False) -> None:
    """Account for what has landed: energy, emissions and embodied carbon of all that has changed."""
    _work(config, lake, None, form, beam, landing=False, accounting=True, until=until, take_over=take_over)


def _landed(done: Followed) -> str:
    return f"{amount(done.rows, 'row')} of {amount(done.records, 'record')} in {amount(done.rounds, 'round')}, {done.rejects:,} rejected"
