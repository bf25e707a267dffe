"""`wattlake dev kafka start|stop|status`."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import Annotated

import typer

from wattlake_contracts.commands import itself
from wattlake_contracts.config import data_home
from wattlake_contracts.errors import FAILED
from wattlake_contracts.options import FormatOption, check_format, emit, say

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]},
                  help="A Kafka of one broker or three, to put a log on.")

DirOption = Annotated[str | None, typer.Option("--dir", help="Folder of its data, its settings and what it prints [default: dev/kafka in the data home].",
                                               metavar="DIR", show_default=False)]


def _folder(told: str | None) -> Path:
    return Path(told) if told else data_home() / "dev" / "kafka"


def _command(what: str, told: str | None) -> str:
    return f"{itself()} dev kafka {what}" + (f" --dir {shlex.quote(told)}" if told else "")


@app.command()
def start(dir_: DirOption = None,
          port: Annotated[int | None, typer.Option("--port", min=1, max=65_535, help="Port of the first broker; the others have the next ones. "
                                                                                    "[default: the one it had, else a free one]", show_default=False)] = None,
          brokers: Annotated[int | None, typer.Option("--brokers", min=1, max=3, help="1, or 3: then a record is acknowledged when two brokers have it. "
                                                                                     "[default: as it was made, else 1]", show_default=False)] = None,
          secured: Annotated[bool | None, typer.Option("--secured/--unsecured", show_default=False,
                                                       help="Let in only whom it knows, by TLS and passwords, and let nobody do what was not granted. "
                                                            "[default: as it was made, else --unsecured]")] = None,
          wait: Annotated[float, typer.Option("--wait", min=1, help="Seconds to wait until it answers.")] = 60.0) -> None:
    """Start it, and print the log's address once it answers. It runs on until `stop`, and keeps its data.

    The first start fetches some 45 MB of jars and compares each with a committed sha256. Every
    listener is on 127.0.0.1. Topics are not made by writing to them.

    With --secured its folder holds what an administrator has of a real cluster: ca.pem,
    admin.password, and admin.toml for --config, which every start writes anew.
    """
    from wattlake_pipelines.dev.kafka import Kafka

    if brokers == 2:
        raise typer.BadParameter("two brokers are no better than one: if either fails, there is no majority", param_hint="--brokers")
    # what the client thinks of a broker that is not there yet is not the user's concern
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    kafka = Kafka(_folder(dir_), brokers=brokers, port=port, secured=secured)
    there = kafka.is_running()
    if not there:
        say(f"starting Kafka in {kafka.folder}")
    kafka.start(wait)
    say(f"{'it runs already' if there else 'it runs'}; stop it with: {_command('stop', dir_)}")
    if kafka.secured:
        from wattlake_pipelines.dev.secured import ADMIN_TOML

        file = kafka.folder / ADMIN_TOML
        say(f"it lets in only whom it knows; the administrator's configuration is {file}")
        say(f"if it has no topics yet, make them with: {itself()} log init --config {shlex.quote(str(file))}")
    print(kafka.address)


@app.command()
def stop(dir_: DirOption = None, delete: Annotated[bool, typer.Option("--delete", help="Delete its data and its folder too.")] = False) -> None:
    """Stop it, or what is left of it. Its data stays for the next start."""
    from wattlake_pipelines.dev.folder import ServerFolder
    from wattlake_pipelines.dev.kafka import Kafka

    folder = _folder(dir_)
    if ServerFolder(folder, "kafka").read() is None:
        say(f"there is no Kafka in {folder}")
        return
    kafka = Kafka(folder)
    ran = kafka.stop()
    say("it is stopped" if ran else "it did not run")
    if delete:
        kafka.delete()
        say(f"deleted {folder}")


@app.command()
def status(dir_: DirOption = None, form: FormatOption = "table") -> None:
    """Each broker, and whether it runs and answers. Exit code 1 unless all do."""
    check_format(form)
    from wattlake_pipelines.dev.folder import ServerFolder
    from wattlake_pipelines.dev.kafka import Kafka

    folder = _folder(dir_)
    columns = ["broker", "server", "state", "pid", "log"]
    if ServerFolder(folder, "kafka").read() is None:
        emit(columns, [], form)
        say(f"there is no Kafka in {folder}; start one with: {_command('start', dir_)}")
        raise typer.Exit(FAILED)
    kafka = Kafka(folder)
    states = [broker.state() for broker in kafka.brokers]
    emit(columns, [[broker.number, server, state, broker.process.pid(), str(broker.process.log)]
                   for broker, server, state in zip(kafka.brokers, kafka.servers, states, strict=True)], form)
    if any(state != "runs" for state in states):
        say(f"not all of it runs; start it with: {_command('start', dir_)}")
        raise typer.Exit(FAILED)
