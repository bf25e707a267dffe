"""`wattlake check`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattlake_contracts import config as configuration
from wattlake_contracts.amount import amount
from wattlake_contracts.errors import GATE_FAILED, WattlakeError
from wattlake_contracts.log_address import lake_root
from wattlake_contracts.options import ConfigOption, FormatOption, LakeOption, check_format, emit, say

if TYPE_CHECKING:
    from wattlake_warehouse.check.expectations import Outcome

#: A repeated key may be hundreds of letters long.
_EXAMPLE_WIDTH = 60

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Exit code 3: a blocking rule is broken. Rules that only warn never change the exit code.")
def check(
    config: ConfigOption = None, lake: LakeOption = None, form: FormatOption = "table",
    docs: Annotated[Path | None, typer.Option("--docs", help="Folder for the Data Docs [default: checks, beside the lake].", metavar="DIR")] = None,
    every: Annotated[bool, typer.Option("--all", help="List every rule, not only the broken ones.")] = False,
) -> None:
    """Hold the facts and marts against the contracts and the books' invariants.

    Each column of each fact and dimension is held against the contract: given, in its bounds, one of
    its values, its key unique. Closure must be exact, the facts must be what the counters counted,
    emissions must rest on the same joules as energy; thin coverage, missing factors, values that
    contradict each other and rejects are warned of. The Data Docs are pages that load nothing from elsewhere.
    """
    check_format(form)
    from wattlake_warehouse.check.expectations import SITE, run_gates
    from wattlake_warehouse.check.gate import gates
    from wattlake_warehouse.lake import open_lake

    root = lake_root(configuration.load(config), lake)
    folder = docs or root.parent / "checks"
    outcomes = []
    chosen = gates()
    with open_lake(root) as connection:
        _make(folder)
        for number, (gate, found) in enumerate(run_gates(connection, chosen, folder), 1):
            outcomes += found
            if sys.stderr.isatty():
                say(f"  {number}/{len(chosen)} {gate.name}: {sum(not o.ok for o in found)} of {amount(len(found), 'rule')} broken")
    shown = [o for o in outcomes if every or not o.ok]
    columns = ["gate", "columns", "rule", "blocking", "ok", "rows", "unexpected", "example", "why"]
    emit(columns, [line(o, form) for o in shown], form)
    broken = [o for o in outcomes if not o.ok and o.blocking]
    warned = [o for o in outcomes if not o.ok and not o.blocking]
    say(f"{amount(len(outcomes), 'rule')}: {len(broken)} broken, {amount(len(warned), 'warning')}. Data Docs: {folder / SITE / 'index.html'}")
    if broken:
        say("next: look at the rows named; `wattlake lake verify` tells whether a file was altered")
        raise typer.Exit(GATE_FAILED)


def line(outcome: Outcome, form: str) -> list[object]:
    """What is printed of a rule: in a table its example is cut to what there is room for, JSON and CSV have it whole."""
    o, example = outcome, outcome.example
    if form == "table" and example is not None:
        example = " ".join(example.split())
        example = example if len(example) <= _EXAMPLE_WIDTH else f"{example[: _EXAMPLE_WIDTH - 1]}…"
    return [o.gate, o.columns, o.form, o.blocking, o.ok, o.rows, o.unexpected, example, o.why]


def _make(folder: Path) -> None:
    """Make the folder of the Data Docs. WattlakeError if nothing can be written there: better now than after the checks."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # the library keeps its own folder there, which may be another user's
        for place in (folder, *folder.glob("gx")):
            with tempfile.TemporaryFile(dir=place):
                pass
    except OSError as error:
        raise WattlakeError(f"the Data Docs cannot be written there: {error.strerror}", subject=str(folder),
                            next_step="give a folder of your own with --docs") from error
