"""The steps around the life cycle: what can be measured, where it stands, the agent, and the books."""

from __future__ import annotations

import json
import time

from wattlake_agents import health
from wattlake_agents.demo.process import wait_until, wattlake
from wattlake_agents.demo.settings import NODE, SITE, STORE
from wattlake_agents.demo.stage import Stage, StepError
from wattlake_agents.jobs.announcer import Announcer
from wattlake_contracts.amount import amount
from wattlake_contracts.errors import INCOMPLETE, WattlakeError

_FIRST_READING_S = 30.0
#: Longer than the agent's interval: the last job's end lies between two readings then.
_AFTER_S = 1.2
_ENERGY = "SELECT phase, sum(energy_kwh) * 3.6e6 AS j FROM footprint_by_phase GROUP BY phase ORDER BY j DESC"


def look(stage: Stage) -> str:
    """Look at what this machine can measure. What is there and cannot be read does not stop the demo."""
    found = json.loads(stage.wattlake("agent", "once", "--format", "json", expect=(0, INCOMPLETE)))
    stage.estimated = all(row["method"] == "estimated" for row in found)
    return ", ".join(f"{row['device']} {row['power_w'] or 0:.1f} W ({_HOW[row['method']]})" for row in found)


_HOW = {"counter": "counted by the hardware", "integrated": "summed up from power", "estimated": "estimated from CPU load, no counter here"}


def place(stage: Stage) -> str:
    """Say where the machine stands: a site in the zone, with the PUE, marked as the default that it is."""
    row = {"zone": stage.zone, "pue": stage.pue, "source": stage.pue_source, "estimated": not stage.pue_given}
    try:
        Announcer(stage.folder.log, NODE, "reference").write("sites", [{"site": site, **row} for site in (SITE, STORE)])
    except WattlakeError as error:
        raise StepError(f"{error.subject}: {error.what}", stage.log) from error
    return f"zone {stage.zone}, PUE {stage.pue:g}"


def begin(stage: Stage) -> str:
    """Start the agent and wait for its first reading on the log."""
    agent = stage.keep_running("agent", wattlake("agent", "run"))

    def reads() -> bool:
        beat = health.load(stage.folder.state)
        return beat is not None and beat.pid == agent.pid and beat.last_reading_ms > 0 and beat.rows > 0

    if not wait_until(reads, agent, _FIRST_READING_S):
        raise StepError(f"the agent wrote no reading within {_FIRST_READING_S:g} s", stage.log)
    return "it reads twice a second"


def finish(stage: Stage) -> str:
    """Stop the agent, which writes down what it has read."""
    time.sleep(_AFTER_S)
    stage.end("agent")
    beat = health.load(stage.folder.state)
    if beat is None or beat.lost_rows or beat.pending_records:
        raise StepError("the agent has lost readings or did not write them all", stage.log)
    return f"{amount(beat.rows, 'row')} written, {beat.cpu_s:.2f} s of CPU time used by it, none lost"


def run(stage: Stage) -> str:
    """Land what is on the log and account for it."""
    done = json.loads(stage.wattlake("run", "--format", "json"))[0]
    phases = json.loads(stage.wattlake("sql", "--format", "json", _ENERGY))
    total = sum(row["j"] or 0 for row in phases)
    by_phase = ", ".join(f"{row['phase']} {'unknown' if row['j'] is None else format(row['j'], '.0f')}" for row in phases)
    beat = health.load(stage.folder.state)
    # the agent writes readings and the inventory; jobs, requests, transfers and sites are written by those whose they are
    others = done["rows"] - (beat.rows if beat is not None else 0)
    return f"{amount(done['rows'], 'row')} landed (the agent's, and {others} of jobs, requests, transfers and sites), none rejected; {total:.0f} J: {by_phase}"


def check(stage: Stage) -> str:
    """Quality gates and invariants; a broken one stops the demo, a warning does not."""
    warnings = len(json.loads(stage.wattlake("check", "--format", "json")))
    return f"no rule broken, {amount(warnings, 'warning')}"


def report(stage: Stage) -> str:
    """Make the report."""
    stage.wattlake("report", "--out", str(stage.folder.report))
    return f"{stage.folder.report.stat().st_size / 1e3:,.0f} kB, one file"
