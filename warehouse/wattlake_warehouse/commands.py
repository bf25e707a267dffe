"""What this room adds to the `wattlake` command."""

from wattlake_contracts.commands import Command

COMMANDS = (
    Command("sql", "wattlake_warehouse.sql.cli:app", "Ask the lake in SQL, read-only.", "warehouse", ("duckdb",)),
    Command("check", "wattlake_warehouse.check.cli:app", "Quality gates and invariants, with Data Docs.", "warehouse",
            ("duckdb", "great_expectations", "pandas")),
    Command("report", "wattlake_warehouse.report.cli:app", "One HTML file for the organisation.", "warehouse",
            ("duckdb", "altair", "jinja2", "vl_convert")),
)
