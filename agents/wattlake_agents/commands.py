"""What this room adds to the `wattlake` command."""

from wattlake_contracts.commands import Command

COMMANDS = (
    Command("demo", "wattlake_agents.demo.cli:app", "A whole small life cycle on this machine, ending with a report.", "all",
            ("apache_beam", "duckdb", "pyarrow", "altair")),
    Command("agent", "wattlake_agents.cli:app", "Read this machine's energy counters and write them to the log."),
    Command("job", "wattlake_agents.jobs.cli:app", "Tell the log which job runs: run, start, stop."),
    Command("record", "wattlake_agents.record.cli:app", "Record a transfer, or the counters of a service."),
    Command("log", "wattlake_agents.log.cli:app", "Make a log's topics, see how it stands and what is on it."),
    Command("doctor", "wattlake_agents.doctor.cli:app", "Say what is amiss between this machine and the log."),
)
