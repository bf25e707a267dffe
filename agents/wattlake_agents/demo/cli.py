"""`wattlake demo`."""

from __future__ import annotations

import difflib
import shlex
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from wattlake_contracts.commands import how_to_activate, itself
from wattlake_contracts.errors import UsageError
from wattlake_contracts.options import say

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})

OutOption = Annotated[Path, typer.Option("--out", help="Folder for everything it makes; an earlier demo in it is replaced.", metavar="DIR")]
ZoneOption = Annotated[str, typer.Option("--zone", help="Grid zone whose shipped yearly average stands for this machine's grid, e.g. FR or "
                                                        "US-CAL-CISO; the list is in docs/factors.md.", metavar="ZONE")]
PueOption = Annotated[float | None, typer.Option("--pue", help="PUE of where this machine stands, 1 to 10 [default: the shipped average "
                                                               "of data centres].", metavar="PUE", show_default=False)]


@app.command()
def demo(out: OutOption = Path("demo"), zone: ZoneOption = "WORLD", pue: PueOption = None) -> None:
    """A whole small life cycle on this machine, ending with a report. It takes one to two minutes.

    The agent reads this machine's energy counters (or estimates where there are none) while a tiny
    model is prepared, tried out, trained, fine-tuned and served in plain Python. Every byte, token
    and joule is counted here; only the grid and the PUE are shipped averages, and say so.

    Prints the path of the report. The folder also holds the log, the lake, the steps' logs, and a
    wattlake.toml to go on with.
    """
    from wattlake_agents.demo.folder import held
    from wattlake_agents.demo.plan import STEPS, carry_out
    from wattlake_agents.demo.settings import environment, settings, toml
    from wattlake_agents.demo.stage import Stage

    grid_source = _grid_source(zone)
    value, source = _pue(pue)
    signal.signal(signal.SIGTERM, _interrupt)
    with held(out) as folder:
        table = settings(folder, f"Wattlake demo: grid of zone {zone} and PUE {value:g} are defaults, not this machine's own" if pue is None
                         else f"Wattlake demo: the grid of zone {zone} is a default, not this machine's own")
        folder.config.write_text(toml(table), encoding="utf-8")
        say(f"wattlake demo: {len(STEPS)} steps in one to two minutes, in {folder.root}")
        stage = Stage(folder, environment(folder, table), zone, value, source, pue is not None, folder.logs)
        carry_out(stage)
        energy = "an estimate from CPU load, for no counter can be read here" if stage.estimated else "read from this machine's own sensors"
        say(f"\nThe energy is {energy}. The grid{' and the PUE are defaults' if pue is None else ' is a default'}, not this machine's own:\n"
            f"  grid  {zone}: {grid_source}\n"
            f"  PUE   {value:g}: {source}\n"
            f"Give --zone and --pue to come nearer. To go on with these books:\n"
            f"  {itself()} sql --config {shlex.quote(str(folder.config))} \"FROM footprint_by_phase\"\n"
            f"{_activation()}"
            f"The report:")
        print(folder.report)


def _activation() -> str:
    """How to have the command by its name alone, where that is not so; a line, or nothing."""
    activate = how_to_activate()
    return f"To type `wattlake` alone, here and as the README has it:\n  {activate}\n" if activate else ""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # as Ctrl-C does it: everything that was started is stopped on the way out
    raise KeyboardInterrupt


def _grid_source(zone: str) -> str:
    """Where the shipped average of a zone comes from; UsageError if there is none."""
    from wattlake_contracts.column import LATEST_MS
    from wattlake_contracts.factors import starter_grid

    rows = [row for row in starter_grid(LATEST_MS) if row["zone"] == zone]
    if not rows:
        zones = sorted({str(row["zone"]) for row in starter_grid()})
        near = difflib.get_close_matches(zone.upper(), zones, n=3, cutoff=0.5)
        raise UsageError(f"no grid average is shipped for zone {zone!r}", subject="--zone",
                         next_step=(f"did you mean {', '.join(near)}? " if near else "") + "the list is in docs/factors.md")
    latest = max(rows, key=lambda row: int(str(row["start_ms"])))
    return f"{latest['direct_g_per_kwh']:g} g CO2e/kWh, {latest['source']}"


def _pue(given: float | None) -> tuple[float, str]:
    """(the PUE, where it comes from); UsageError if it is out of range."""
    from wattlake_contracts.factors.facility import facility_average

    if given is not None:
        if not 1 <= given <= 10:
            raise UsageError(f"{given:g} is no PUE", subject="--pue", next_step="give 1 to 10: facility energy over IT energy")
        return given, "given as --pue"
    shipped = facility_average("default", "pue", time.time_ns() // 1_000_000)
    assert shipped is not None
    return shipped.value, shipped.shipped_source
