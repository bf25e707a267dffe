"""`wattlake doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from wattlake_contracts.errors import FAILED
from wattlake_contracts.options import ConfigOption, FormatOption, LogOption, check_format, emit, say

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def doctor(config: ConfigOption = None, log: LogOption = None,
           role: Annotated[str, typer.Option("--role", help="agent: this machine measures and writes; pipelines: it reads the log.", metavar="ROLE")] = "agent",
           timeout: Annotated[float, typer.Option("--timeout", min=0.1, max=600, help="Seconds to wait for each step of a connection.")] = 5.0,
           form: FormatOption = "table") -> None:
    """Say what is amiss between this machine and the log, and what to do about it.

    Probes, in order: the configuration, the agent's state folder, its sensors, its spool (or the
    log's folder); and for a log on Kafka the key that it signs with, if it does, each broker's name,
    TCP, TLS, Kafka and SASL, then the topics, this principal's rights on them and the largest record that they take. Each is ok, failed,
    or not tried because one before it failed or it is not wanted. Changes nothing and prints no
    secret. Exit code 1 if a probe failed.

    Example: wattlake doctor --log kafka:broker-1:9093
    """
    from wattlake_agents.doctor.examination import examine
    from wattlake_agents.doctor.finding import COLUMNS
    from wattlake_agents.doctor.finding import FAILED as AMISS
    from wattlake_agents.doctor.topics import NEEDED

    check_format(form)
    if role not in NEEDED:
        raise typer.BadParameter(f"{role!r} is not one of {', '.join(NEEDED)}", param_hint="--role")
    found = list(examine(config, log, role, timeout))
    rows = [finding.row() for finding in found]
    emit(COLUMNS if form != "table" else COLUMNS[:-1], rows if form != "table" else [row[:-1] for row in rows], form)
    for finding in found:
        if finding.next_step:
            say(f"{finding.probe} {finding.subject}: {finding.detail}\n  next: {finding.next_step}")
    if any(finding.state == AMISS for finding in found):
        raise typer.Exit(FAILED)
