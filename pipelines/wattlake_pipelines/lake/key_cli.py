"""`wattlake lake key add|list|end|waive`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattlake_contracts import config as configuration
from wattlake_contracts.errors import UsageError
from wattlake_contracts.log_address import lake_root
from wattlake_contracts.options import ConfigOption, FormatOption, LakeOption, TakeOverOption, check_format, emit, say

if TYPE_CHECKING:
    from wattlake_pipelines.lake.keys import Change

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]},
                  help="The public keys of nodes that sign their records, with which landing checks these.")

NodeArgument = Annotated[str, typer.Argument(help="The node's name, as agent.node has it.", metavar="NODE", show_default=False)]


def _change(root: Path, change: Change, *, take_over: bool) -> None:
    from wattlake_pipelines.lake.change_keys import change_keys
    from wattlake_pipelines.lake.room import room_in

    try:
        change.node.encode()
    except UnicodeEncodeError as error:
        raise UsageError("is no name of a node", subject=repr(change.node[:100]), next_step="give it as agent.node has it, in UTF-8") from error
    with room_in(root):
        change_keys(root, change, take_over=take_over, told=say)


def _show(root: Path, node: str | None, form: str) -> list[list[object]]:
    from wattlake_pipelines.lake import keys
    from wattlake_pipelines.lake.room import room_in

    with room_in(root):
        found = keys.listed(root, node)
    emit(keys.COLUMNS, found, form)
    return found


@app.command()
def add(node: NodeArgument,
        public_key: Annotated[str, typer.Argument(help="What `wattlake log key` has printed.", metavar="PUBLIC_KEY", show_default=False)],
        begin: Annotated[str | None, typer.Option("--from", metavar="INSTANT", show_default=False,
                                                  help="It signs records written down from then on (ISO 8601 with zone).  [default: whenever]")] = None,
        until: Annotated[str | None, typer.Option("--to", metavar="INSTANT", show_default=False, help="And before then.  [default: without end]")] = None,
        config: ConfigOption = None, lake: LakeOption = None, form: FormatOption = "table", take_over: TakeOverOption = False) -> None:
    """Let landing take of this node only what is signed: with this key, or another that was added for it.

    It holds for all that has not landed from Kafka yet. So let the node sign first, land what it has
    sent unsigned, and then add the key. A node may have several keys: add the next one before the
    node signs with it. A follower goes on meanwhile: it does this between two of its rounds.

    Example: wattlake lake key add gpu-01 "$(ssh gpu-01 wattlake log key --public signing.pem)"
    """
    from wattlake_pipelines.given_instant import given_instant
    from wattlake_pipelines.lake import keys

    check_format(form)
    begin_ms, until_ms = given_instant(begin, "--from"), given_instant(until, "--to")
    root = lake_root(configuration.load(config), lake)
    _change(root, keys.Add(node, public_key, begin_ms, until_ms), take_over=take_over)
    _show(root, node, form)


@app.command("list")
def listing(node: Annotated[str | None, typer.Argument(help="Only of this node.", metavar="[NODE]", show_default=False)] = None,
            config: ConfigOption = None, lake: LakeOption = None, form: FormatOption = "table") -> None:
    """Show the keys of the nodes that sign, when they hold, and whether the node's records must be signed.

    What was said of a key before is in the table node_keys.
    """
    check_format(form)
    _show(lake_root(configuration.load(config), lake), node, form)


@app.command()
def end(node: NodeArgument,
        public_key: Annotated[str | None, typer.Argument(help="Which key; needed where it has several.", metavar="[PUBLIC_KEY]", show_default=False)] = None,
        at: Annotated[str | None, typer.Option("--at", metavar="INSTANT", show_default=False,
                                               help="It signs no record written down then or later (ISO 8601 with zone).  [default: now]")] = None,
        config: ConfigOption = None, lake: LakeOption = None, form: FormatOption = "table", take_over: TakeOverOption = False) -> None:
    """End a key: what is signed with it and was written down later is rejected.

    When a record was written down is the word of whoever has signed it. So end a key that was stolen
    at an instant before anything was signed with it that has not landed: 2000-01-01 takes nothing
    more. What has landed stays.

    Example: wattlake lake key end gpu-01 --at 2000-01-01
    """
    from wattlake_pipelines.given_instant import given_instant
    from wattlake_pipelines.lake import keys

    check_format(form)
    at_ms = given_instant(at, "--at")
    root = lake_root(configuration.load(config), lake)
    _change(root, keys.End(node, public_key, time.time_ns() // 1_000_000 if at_ms is None else at_ms), take_over=take_over)
    if all(row[3] is not None for row in _show(root, node, form)):
        say(f"each key of node {node} ends; what it writes down after that is rejected, unless `wattlake lake key add` gives it another, "
            "or `wattlake lake key waive` lets it write unsigned")


@app.command()
def waive(node: NodeArgument, config: ConfigOption = None, lake: LakeOption = None, form: FormatOption = "table",
          take_over: TakeOverOption = False) -> None:
    """Take a node's records unsigned again, as they come, until another key is added for it."""
    from wattlake_pipelines.lake import keys

    check_format(form)
    root = lake_root(configuration.load(config), lake)
    _change(root, keys.Waive(node), take_over=take_over)
    _show(root, node, form)
