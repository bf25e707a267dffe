"""Where things lie in a lake's folder; writer and readers agree on it here."""

from __future__ import annotations

from pathlib import Path

#: DuckLake's catalogue, a SQLite database in WAL mode.
CATALOGUE = "catalogue.sqlite"
#: The committed data files, and nothing else.
DATA = "data"
#: Files written and not committed yet; outside DATA, so that no scan finds them.
STAGING = "staging"
#: Held by the one committer.
LOCK = "committer.lock"
#: What is asked of the committer that holds the lock, and what it answers.
REQUESTS = "requests"
#: Room kept back, so that a full disk can still be tidied up: deleting needs some too.
RESERVE = "reserve"
#: The lake's layout. A lake of a newer layout is not touched by an older Wattlake.
LAKE_VERSION = 1
#: The name under which the lake is attached in every connection.
ALIAS = "lake"

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
#: Over a gap longer than this nothing is spread (rule 1.3): a counter read once a year is bridged, a clock that was decades off is not.
LONGEST_GAP_MS = 400 * DAY_MS


def catalogue(lake: Path) -> Path:
    """The catalogue's file."""
    return lake / CATALOGUE


def data(lake: Path) -> Path:
    """The folder of committed files."""
    return lake / DATA


def data_name(table: str, name: str) -> str:
    """A committed file of a table, relative to the lake.

    It is where DuckLake itself would put it, for only then does its catalogue name the file
    relative to the lake, which may so be moved.
    """
    return f"{DATA}/main/{table}/{name}"


def data_file(lake: Path, table: str, name: str) -> Path:
    """A committed file of a table."""
    return lake / data_name(table, name)
