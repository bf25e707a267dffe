"""`wattlake lake status|maintain|verify|key`."""

from __future__ import annotations

from typing import Annotated

import typer

from wattlake_contracts import config as configuration
from wattlake_contracts.amount import amount
from wattlake_contracts.errors import FAILED
from wattlake_contracts.log_address import lake_root
from wattlake_contracts.options import ConfigOption, FormatOption, LakeOption, TakeOverOption, check_format, emit, say
from wattlake_pipelines.allocator import choose_allocators
from wattlake_pipelines.lake import key_cli

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Status, upkeep, verification and keys of the lake.",
                  context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(key_cli.app, name="key")


KeepDaysOption = Annotated[float, typer.Option(
    "--keep-days", min=0, help="Keep snapshots for so many days, thinned to one an hour after ten minutes and one a day after two days; older ones go.")]


@app.command()
def status(config: ConfigOption = None, lake: LakeOption = None, form: FormatOption = "table") -> None:
    """What the lake holds: rows, files and bytes per table, the last commit, what waits to be accounted."""
    check_format(form)
    from wattlake_pipelines.lake import status as lake_status
    from wattlake_pipelines.lake.room import room_in

    root = lake_root(configuration.load(config), lake)
    with room_in(root):
        columns, rows, notes = lake_status.status(root)
    emit(columns, rows, form)
    for note in notes:
        say(note)


@app.command()
def maintain(config: ConfigOption = None, lake: LakeOption = None, form: FormatOption = "table",
             keep_days: KeepDaysOption = 30.0,
             take_over: TakeOverOption = False) -> None:
    """Merge small files, drop old snapshots, and delete what a killed process left. Safe at any time but during a run."""
    choose_allocators()
    check_format(form)
    from wattlake_pipelines.lake import meta
    from wattlake_pipelines.lake.committer import Committer
    from wattlake_pipelines.lake.maintain import maintain as upkeep
    from wattlake_pipelines.lake.room import give_up_reserve, room_in

    root = lake_root(configuration.load(config), lake)
    with room_in(root):
        give_up_reserve(root)
        meta.read(root)
        with Committer(root, take_over=take_over) as committer:
            done = upkeep(committer, keep_days=keep_days, thorough=True)
    emit(["merged_files", "expired_snapshots", "orphans"], [[done.merged_files, done.expired_snapshots, done.orphans]], form)


@app.command()
def verify(config: ConfigOption = None, lake: LakeOption = None, form: FormatOption = "table", take_over: TakeOverOption = False) -> None:
    """Compare every file's bytes with the sha256 that was committed. Exit code 1 if one differs."""
    check_format(form)
    from wattlake_pipelines.lake import meta
    from wattlake_pipelines.lake.committer import Committer
    from wattlake_pipelines.lake.room import room_in
    from wattlake_pipelines.lake.verify import verify as compare

    root = lake_root(configuration.load(config), lake)
    with room_in(root):
        meta.read(root)
        with Committer(root, take_over=take_over) as committer:
            checked, faults = compare(committer)
    emit(["path", "what"], [[f.path, f.what] for f in faults], form)
    say(f"{amount(checked, 'file')} checked, {amount(len(faults), 'fault')}")
    if faults:
        say("restore the files named from a backup, or make the lake again from the log")
        raise typer.Exit(FAILED)
