"""`wattlake sql`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from wattlake_contracts.amount import amount
from wattlake_contracts.config import data_home, load
from wattlake_contracts.errors import INCOMPLETE, UsageError
from wattlake_contracts.log_address import lake_root
from wattlake_contracts.options import ConfigOption, FormatOption, LakeOption, check_format, emit, say
from wattlake_warehouse.sql import table
from wattlake_warehouse.sql.limits import Limits
from wattlake_warehouse.sql.listing import everything
from wattlake_warehouse.sql.session import Session, open_session

app = typer.Typer(rich_markup_mode=None)
_USUAL = Limits()


@app.command()
def sql(
    query: Annotated[str | None, typer.Argument(help="One statement. Without it: a prompt, or standard input.", show_default=False)] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the statement from a file.", metavar="FILE")] = None,
    form: FormatOption = "table",
    limit: Annotated[int | None, typer.Option(
        help=f"Print at most this many rows. Unless it is given, a result of more than {_USUAL.rows} is cut and the exit status is 4.",
        min=1, show_default=False)] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that a statement may take.", min=0.1)] = _USUAL.timeout_s,
    memory: Annotated[int, typer.Option(help="MiB of memory that a statement may take.", min=64)] = _USUAL.memory_mib,
    marts: Annotated[bool, typer.Option("--marts", help="List what there is to ask, and exit.")] = False,
    config: ConfigOption = None,
    lake: LakeOption = None,
) -> None:
    """Ask the lake in SQL, read-only.

    Every table of the lake and every mart is there under its plain name: SELECT * FROM
    footprint_by_model. `--marts` lists them. The statement runs in a process of its own that can read
    the lake and nothing else, within the limits of time, memory and rows.
    """
    check_format(form)
    if marts:
        _print(["name", "kind", "what it holds"], [list(row) for row in everything()], form)
        return
    if query is not None and file is not None:
        raise UsageError("a statement and --file at once", next_step="give one of them")
    if file is not None:
        query = _read(file)
    elif query is None and not sys.stdin.isatty():
        query = sys.stdin.read()
    limits = Limits(rows=_USUAL.rows if limit is None else limit, timeout_s=timeout, memory_mib=memory, threads=min(4, os.cpu_count() or 1))
    with open_session(lake_root(load(config), lake), limits) as session:
        session.start()
        if os.environ.get("WATTLAKE_DEBUG"):
            say(f"sandbox: landlock {f'version {session.landlock}' if session.landlock else 'not offered by this system'}, {limits}")
        if query is not None:
            if _ask(session, query, form) and limit is None:
                raise typer.Exit(INCOMPLETE)
        else:
            from wattlake_warehouse.sql import prompt
            prompt.run(session, lambda statement: _ask(session, statement, form), lambda columns, rows: _print(columns, rows, form),
                       data_home() / "sql_history")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", subject=str(file), next_step="give another --file") from error


def _ask(session: Session, query: str, form: str) -> bool:
    """Whether the result was cut."""
    result = session.ask(query)
    _print(result.columns, result.rows, form)
    if result.cut:
        say(f"cut at {amount(session.limits.rows, 'row')}: raise --limit for more")
    return result.cut


def _print(columns: list[str], rows: list[list[Any]], form: str) -> None:
    if form != "table":
        emit(columns, rows, form)
        return
    if columns == ["explain_key", "explain_value"]:
        for _, plan in rows:  # a drawing, not a cell
            print(str(plan).translate(table.CONTROL | {10: "\n"}))
        return
    terminal = sys.stdout.isatty()
    lines, hint = table.lines(columns, rows, shutil.get_terminal_size().columns if terminal else None)
    if terminal and lines and not os.environ.get("NO_COLOR"):
        lines[0] = f"\x1b[1m{lines[0]}\x1b[0m"
    print("\n".join(lines))
    if hint:
        say(hint)
