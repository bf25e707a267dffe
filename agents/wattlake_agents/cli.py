"""`wattlake agent`: run, once, status."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from wattlake_contracts.config import AgentConfig, Config, load
from wattlake_contracts.errors import FAILED, INCOMPLETE, UsageError
from wattlake_contracts.options import ConfigOption, FormatOption, LogOption, check_format, emit, say

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Read this machine's energy counters and write them to the log.\n\n"
         "Begin with `wattlake agent once`: it shows what this machine can measure, and writes nothing.",
    epilog="Readers: nvml (NVIDIA GPUs), rapl (CPU packages, memory, platform), cpu_model (an estimate where there is no rapl).",
)

NodeOption = Annotated[str | None, typer.Option("--node", help="Name of this node [default: the host name].", metavar="NAME")]
SiteOption = Annotated[str | None, typer.Option("--site", help="Where it stands, as in `wattlake import sites`.", metavar="SITE")]
IntervalOption = Annotated[float | None, typer.Option("--interval", help="Seconds between two readings [default: 1].", metavar="SECONDS")]
FlushOption = Annotated[float | None, typer.Option("--flush", help="Seconds between two writes [default: 60].", metavar="SECONDS")]


def configured(path: str | None, **changes: object) -> Config:
    """The configuration, with the options that were given over it. UsageError if a span makes no sense."""
    import msgspec

    config = load(path)
    agent: AgentConfig = msgspec.structs.replace(config.agent, **{k: v for k, v in changes.items() if v is not None})
    if not 0.05 <= agent.interval_s <= 3600:
        raise UsageError(f"{agent.interval_s:g} s between two readings makes no sense", subject="--interval", next_step="give 0.05 to 3600")
    if not agent.interval_s <= agent.flush_s <= 3600:
        raise UsageError(f"{agent.flush_s:g} s between two writes makes no sense", subject="--flush",
                         next_step="give at least --interval, at most 3600")
    return msgspec.structs.replace(config, agent=agent)


@app.command()
def run(config: ConfigOption = None, log: LogOption = None, node: NodeOption = None, site: SiteOption = None,
        interval: IntervalOption = None, flush: FlushOption = None) -> None:
    """Read the counters until stopped (Ctrl-C, SIGTERM), and write them to the log.

    What was not written when it is killed is made up for by the counters: only the detail in time
    is lost, and where there are none and energy is estimated, that stretch. A reading that those
    around it prove false, such as a counter that shows 0 once, is left out and counted. It keeps
    the lives of the counters in agent.state_dir, where only one agent may run, and shows its
    metrics at http://127.0.0.1:9754/metrics (agent.metrics; empty: none). While the log cannot be
    written it keeps what it reads in memory, and says so. Exit code 1 if some of that is still not
    written at the end.

    Example: wattlake agent run --site berlin-1 --log file:/var/lib/wattlake/log
    """
    import msgspec

    from wattlake_agents.agent import Agent, stop_on_signals
    from wattlake_agents.metrics import serve
    from wattlake_agents.state import node_name

    settings = configured(config, site=site, interval_s=interval, flush_s=flush)
    settings = msgspec.structs.replace(settings, agent=msgspec.structs.replace(settings.agent, node=node_name(settings.agent, node)))
    agent = Agent(settings, log, events=_events())
    # before the page of metrics: its address is taken if an agent runs already, which is then what to say
    agent.open()
    stop_on_signals(agent)
    close = serve(agent, settings.agent.metrics) if settings.agent.metrics else None
    try:
        agent.run()
    finally:
        if close is not None:
            close()


@app.command()
def once(config: ConfigOption = None, form: FormatOption = "table") -> None:
    """Read every sensor twice, a second apart, print what they say, and write nothing.

    Prints one row per device: its power over that second, the energy used in it, and how it is
    measured. What cannot be read is named with what to do about it. Exit code 1 if nothing can be
    read, 4 if something that is there cannot.
    """
    from wattlake_agents.once import COLUMNS, look

    check_format(form)
    found = look(configured(config).agent)
    emit(COLUMNS if form != "table" else COLUMNS[:-1], found.rows if form != "table" else [row[:-1] for row in found.rows], form)
    for row in found.rows:
        if row[-1]:
            say(f"{row[0]}: {row[-1]}")
    for reason in found.absent:
        say(f"not here: {reason}")
    for problem in found.problems:
        say(f"cannot be read: {problem}")
    if not found.rows:
        say("nothing can be measured on this machine.\n  next: measure it from outside: wattlake import readings FILE")
        raise typer.Exit(FAILED)
    if found.problems:
        raise typer.Exit(INCOMPLETE)


@app.command()
def status(config: ConfigOption = None, form: FormatOption = "table") -> None:
    """Say how the agent of this machine does: since when, its last reading and write, its losses.

    Its state is healthy, unhealthy (it died, hangs, reads or writes nothing: each cause is said),
    stopped (by Ctrl-C, SIGTERM), or none where no agent has run yet. Exit code 0 if it is healthy,
    1 if not.
    """
    from wattlake_agents.status import report

    check_format(form)
    rows, amiss = report(configured(config).agent)
    if form == "json":
        emit([name for name, _ in rows], [[value for _, value in rows]], form)
    else:
        emit(("what", "value"), [(name, ("; ".join(value) or None) if isinstance(value, list) else value) for name, value in rows], form)
    for line in amiss:
        say(line)
    if amiss:
        raise typer.Exit(FAILED)


def _events() -> Any:
    """A logger for what happens: lines for people on a terminal, JSON elsewhere; on stderr."""
    import structlog

    tty = sys.stderr.isatty()
    structlog.configure(
        processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.add_log_level,
                    structlog.dev.ConsoleRenderer(colors=not os.environ.get("NO_COLOR")) if tty else structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr), cache_logger_on_first_use=True,
    )
    return structlog.get_logger()


