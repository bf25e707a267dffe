"""`wattlake dev flink start|stop|status`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from wattlake_contracts.commands import itself
from wattlake_contracts.config import data_home
from wattlake_contracts.errors import FAILED
from wattlake_contracts.options import FormatOption, check_format, emit, say

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]},
                  help="A Flink, to run the pipelines on.")

DirOption = Annotated[str | None, typer.Option("--dir", help="Folder of its settings and of what it prints [default: dev/flink in the data home].",
                                               metavar="DIR", show_default=False)]


def _folder(told: str | None) -> Path:
    return Path(told) if told else data_home() / "dev" / "flink"


def _command(what: str, told: str | None) -> str:
    return f"{itself()} dev flink {what}" + (f" --dir {shlex.quote(told)}" if told else "")


@app.command()
def start(dir_: DirOption = None,
          port: Annotated[int | None, typer.Option("--port", min=1, max=65_535, help="Port of the job server. [default: the one it had, else a free one]",
                                                   show_default=False)] = None,
          parallelism: Annotated[int, typer.Option("--parallelism", min=1, help="Python processes that work on a pipeline side by side.")] = 2,
          wait: Annotated[float, typer.Option("--wait", min=1, help="Seconds to wait until it answers.")] = 60.0) -> None:
    """Start it, and print Beam's options that have a pipeline run on it. It runs on until `stop`.

    So `wattlake run -- $(wattlake dev flink start)` runs there. The first start fetches some 150 MB
    of jars and compares each with a committed sha256. Other machines are not let in; other users of this
    machine are, and may have code run as you: start it where you trust them. The workers are
    processes of this machine, and have its files and this environment.
    """
    from wattlake_pipelines.dev.flink import Flink

    flink = Flink(_folder(dir_), port=port, parallelism=parallelism)
    there = flink.is_running()
    if not there:
        say(f"starting Flink in {flink.folder}")
    flink.start(wait)
    say(f"{'it runs already' if there else 'it runs'}; stop it with: {_command('stop', dir_)}")
    print(" ".join(flink.options))


@app.command()
def stop(dir_: DirOption = None, delete: Annotated[bool, typer.Option("--delete", help="Delete its folder too.")] = False) -> None:
    """Stop it, or what is left of it. A pipeline that runs on it fails, and can be run again."""
    from wattlake_pipelines.dev.flink import Flink
    from wattlake_pipelines.dev.folder import ServerFolder

    folder = _folder(dir_)
    if ServerFolder(folder, "flink").read() is None:
        say(f"there is no Flink in {folder}")
        return
    flink = Flink(folder)
    say("it is stopped" if flink.stop() else "it did not run")
    if delete:
        flink.delete()
        say(f"deleted {folder}")


@app.command()
def status(dir_: DirOption = None, form: FormatOption = "table") -> None:
    """Its job server and the process that starts its workers, and whether they run and answer. Exit code 1 unless both do."""
    check_format(form)
    from wattlake_pipelines.dev.flink import Flink
    from wattlake_pipelines.dev.folder import ServerFolder
    from wattlake_pipelines.dev.ports import LOOPBACK

    folder = _folder(dir_)
    columns = ["process", "server", "state", "pid", "log"]
    if ServerFolder(folder, "flink").read() is None:
        emit(columns, [], form)
        say(f"there is no Flink in {folder}; start one with: {_command('start', dir_)}")
        raise typer.Exit(FAILED)
    flink = Flink(folder)
    states = flink.states()
    emit(columns, [[process.name, f"{LOOPBACK}:{port}", state, process.pid(), str(process.log)]
                   for process, port, state in zip(flink.processes, (flink.port, flink.pool_port), states, strict=True)], form)
    if any(state != "runs" for state in states):
        say(f"not all of it runs; start it with: {_command('start', dir_)}")
        raise typer.Exit(FAILED)
