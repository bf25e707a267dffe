"""`wattlake sql` on a terminal: a prompt with history."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.options import say
from wattlake_warehouse.sql.listing import described, everything
from wattlake_warehouse.sql.session import Session

HELP = r"""A statement ends with a semicolon and may take several lines.
  \marts       what there is to ask
  \d NAME      the columns of a mart or table, with their units
  \q           leave (or Ctrl-D)"""

Show = Callable[[list[str], list[list[object]]], None]


def run(session: Session, ask: Callable[[str], object], show: Show, history: Path) -> None:
    """Read statements until the user leaves. ask: runs one and prints its result. history: where the lines are kept."""
    _remember(history)
    say(r"Read-only. \marts lists what there is, \? helps, \q leaves.")
    statement = ""
    while True:
        try:
            line = input("wattlake> " if not statement else "     ...> ")
        except EOFError:
            sys.stderr.write("\n")
            return
        except KeyboardInterrupt:
            sys.stderr.write("\n")
            statement = ""
            continue
        if not statement and line.strip().startswith("\\"):
            if line.strip() in {"\\q", "\\quit"}:
                return
            _command(line.strip(), show)
            continue
        statement = f"{statement}\n{line}" if statement else line
        if statement.rstrip().endswith(";"):
            try:
                ask(statement)
            except WattlakeError as error:
                say(f"wattlake: {error}")
            except KeyboardInterrupt:
                # the child is in the middle of the statement: it goes, the next one gets a new one
                session.close()
                say("cancelled")
            statement = ""
        elif not statement.strip():
            statement = ""


def _command(line: str, show: Show) -> None:
    name, _, argument = line.partition(" ")
    try:
        if name == "\\marts":
            show(["name", "kind", "what it holds"], [list(row) for row in everything()])
        elif name == "\\d":
            show(["column", "unit", "meaning"], [list(row) for row in described(argument.strip().rstrip(";"))])
        else:
            say(HELP)
    except WattlakeError as error:
        say(f"wattlake: {error}")


def _remember(history: Path) -> None:
    """Keep the lines of this and later sessions, for the user alone."""
    try:
        import atexit
        import readline
    except ImportError:
        return  # Windows: no history, the prompt works all the same
    with suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(1000)

    def save() -> None:
        with suppress(OSError):
            history.parent.mkdir(parents=True, exist_ok=True)
            history.touch(mode=0o600)
            readline.write_history_file(history)
    atexit.register(save)
