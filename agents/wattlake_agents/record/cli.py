"""`wattlake record`: transfer, serving."""

from __future__ import annotations

import secrets
from typing import Any

import typer

from wattlake_agents.contract_options import contract_options
from wattlake_agents.jobs.place import WriterOption, limit_bytes, place
from wattlake_contracts.config import load
from wattlake_contracts.errors import UsageError
from wattlake_contracts.kind import AHEAD_MS, Kind
from wattlake_contracts.kinds import KINDS, SERVING, TRANSFERS
from wattlake_contracts.options import ConfigOption, LogOption, say

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Record a transfer, or the counters of an inference service.\n\n"
         "It goes into the log of the agent that runs here, unless an option or the configuration says otherwise.\n\n"
         "Example: wattlake record transfer --bytes 1000000000 --medium wan --from-site berlin-1 --to-site paris-2 --dataset c4",
)


@app.command()
@contract_options(TRANSFERS, optional=("id", "ts_ms"))
def transfer(values: dict[str, Any], writer: WriterOption = None, config: ConfigOption = None, log: LogOption = None) -> None:
    """Record bytes moved between two sites, and print the transfer's id.

    Without --id it gets a new one; without --ts it is now. A second transfer of the same id
    replaces the first.
    """
    from wattlake_agents.jobs.row import now_ms

    values = {"id": secrets.token_hex(8), "ts_ms": now_ms(), **values}
    _write("transfers", values, writer, config, log)
    print(values["id"])


@app.command()
@contract_options(SERVING, optional=("ts_ms",))
def serving(values: dict[str, Any], writer: WriterOption = None, config: ConfigOption = None, log: LogOption = None) -> None:
    """Record the cumulative counters of an inference service.

    Give the totals since the service began, not what came since the last time, and as --epoch
    something that changes when they restart, e.g. the service's start time.
    """
    from wattlake_agents.jobs.row import now_ms

    if values.get("tokens_cached", 0) > values["tokens_in"]:
        raise UsageError(f"{values['tokens_cached']} are more than the {values['tokens_in']} of --tokens-in, of which they are a part",
                         subject="--tokens-cached", next_step="count tokens from a cache in --tokens-in too")
    _write("serving", {"ts_ms": now_ms(), **values}, writer, config, log)


def _write(kind: str, row: dict[str, object], writer: str | None, config: str | None, log: str | None) -> None:
    from wattlake_agents.jobs.announcer import Announcer
    from wattlake_agents.jobs.row import now_ms

    if (told := _ahead(KINDS[kind], row, now_ms())) is not None:
        raise UsageError("lies more than 24 h ahead: what has not happened yet is not recorded", subject=told,
                         next_step="give the instant at which it happened, or set this machine's clock")
    # who wrote it down changes no figure, so that only another log is worth a word
    settings = load(config)
    node, root, _, doubt = place(settings, writer, log)
    if doubt:
        say(f"wattlake: {doubt}")
    Announcer(root, node, "record", limit_bytes(settings, log)).write(kind, [row])


def _ahead(kind: Kind, row: dict[str, object], now_ms: int) -> str | None:
    """The option whose instant landing would reject for lying ahead of its record; None if there is none."""
    for name in kind.happened:
        if isinstance(at := row.get(name), int) and at > now_ms + AHEAD_MS:
            return f"--{kind.column(name).accepted_inputs[0].name.replace('_', '-')}"
    return None
