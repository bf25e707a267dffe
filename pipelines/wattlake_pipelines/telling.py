"""What `wattlake run` tells its user: which log and lake it works on, how far it is, and what came of it."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wattlake_contracts import config as configuration
from wattlake_contracts.amount import amount
from wattlake_contracts.commands import itself
from wattlake_contracts.layout import ALIAS
from wattlake_contracts.log_address import FileLog, KafkaLog, lake_root
from wattlake_contracts.options import say

if TYPE_CHECKING:
    from wattlake_pipelines.account.account import Accounted
    from wattlake_pipelines.lake.committer import Committer
    from wattlake_pipelines.land.land import Landed
    from wattlake_pipelines.land.source import Withheld


class Progress:
    """One line on a terminal that says how far the work is; nothing anywhere else."""

    def __init__(self) -> None:
        self._shown, self._began, self.terminal = 0, time.monotonic(), sys.stderr.isatty()

    def landed(self, records: int, rows: int) -> None:
        """After each round of landing: what has landed so far."""
        self._show(f"landed {amount(records, 'record')}, {amount(rows, 'row')} ({rows / max(time.monotonic() - self._began, 1e-3):,.0f} rows/s)")

    def accounted(self, done: int, total: int) -> None:
        """While it is accounted for: how many of the pieces that have changed are made anew."""
        self._show(f"accounted for {done:,} of {amount(total, 'piece')} of the books" if done < total else "writing it down")

    def done(self) -> None:
        """Take the line away."""
        if self._shown:
            print(f"\r{' ' * self._shown}\r", end="", file=sys.stderr, flush=True)
            self._shown = 0

    def _show(self, text: str) -> None:
        if self.terminal:
            # what stood there longer is overwritten
            print(f"\r  {text.ljust(self._shown)}", end="", file=sys.stderr, flush=True)
            self._shown = max(self._shown, len(text) + 2)


class Omissions:
    """Tells what of a log cannot be landed from: once, and again when that changes."""

    def __init__(self) -> None:
        self._told: dict[str, Withheld] = {}

    def tell(self, withheld: Sequence[Withheld]) -> None:
        """Say what is new in this."""
        now = {each.subject: each for each in withheld}
        # a broker takes many partitions with it, and all of them for one reason
        alike: dict[tuple[str, str], list[str]] = {}
        for subject, each in now.items():
            if self._told.get(subject) != each:
                alike.setdefault((each.why, each.next_step), []).append(subject)
        for (why, next_step), subjects in alike.items():
            say(f"wattlake: {', '.join(subjects)}: {why}; the rest is landed without {'it' if len(subjects) == 1 else 'them'}\n  next: {next_step}")
        if back := [subject for subject in self._told if subject not in now]:
            say(f"wattlake: {', '.join(back)}: {'is' if len(back) == 1 else 'are'} landed from again")
        self._told = now


def tell_places(log: FileLog | KafkaLog | None, lake: Path) -> None:
    """Say which lake is worked on, and from which log."""
    where = log.root.absolute() if isinstance(log, FileLog) else log
    say(f"from the log {where} into the lake {lake.absolute()}" if log else f"the lake {lake.absolute()}")


def tell_mixture(committer: Committer, identity: str) -> None:
    """Say so where a lake that has taken from other logs is to take from this one for the first time."""
    known = [row[0] for row in committer.query(f"SELECT DISTINCT log FROM {ALIAS}.log_positions ORDER BY log").fetchall()]
    if known and identity not in known:
        more = f" and {len(known) - 1} more" if len(known) > 1 else ""
        say(f"this lake has taken from another log so far ({known[0]}{more}); from now on its figures are of all of them, and what is on "
            f"several of them counts once. To keep them apart, give another --lake each")


def tell_unknown(unknown: Mapping[tuple[str, str], int]) -> None:
    """Say which columns were left out because this version does not know them, a line for each kind."""
    by_kind: dict[str, list[str]] = {}
    for (kind, column), rows in sorted(unknown.items()):
        by_kind.setdefault(kind, []).append(f"{column!r} of {amount(rows, 'row')}")
    for kind, columns in by_kind.items():
        say(f"{kind}: columns that this version does not know were left out: {', '.join(columns)}. Who sends them is newer than this Wattlake, or they are "
            "misspelt; upgrade it here to keep them")


def asking(statement: str, config_file: str | None, lake: Path) -> str:
    """The command that asks this lake, to be pasted."""
    usual = lake_root(configuration.load(config_file)).absolute() == lake.absolute()
    place = ["--config", config_file] if usual and config_file else [] if usual else ["--lake", str(lake)]
    return f'{itself()} sql {"".join(f"{shlex.quote(word)} " for word in place)}"{statement}"'


def landed_line(landed: Landed, seconds: float) -> str:
    """What landing did, as a sentence."""
    if not landed.rounds:
        return "landed     nothing: there is nothing new on the log"
    rejected = f"{landed.rejects:,} rejected" if landed.rejects else "none rejected"
    return f"landed     {amount(landed.rows, 'row')} of {amount(landed.records, 'record')}, {rejected}, in {seconds:,.1f} s"


def accounted_line(accounted: Accounted, seconds: float) -> str:
    """What accounting did, as a sentence."""
    if not accounted.elements:
        return "accounted  nothing: nothing has changed that the books rest on"
    return f"accounted  {amount(accounted.rows, 'row')} of facts made anew, in {seconds:,.1f} s"
