"""Prints docs/commands.md: the help of every command, as the command line gives it."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Iterator

import click
import typer

from wattlake_agents.command import app, registered

_WIDTH = 100


def commands() -> Iterator[tuple[str, click.Context]]:
    """Every command and subcommand: its words, and a context to ask for its help."""
    root = typer.main.get_command(app)
    yield "wattlake", context(root, "wattlake", None)
    for command in registered().values():
        module, _, attribute = command.target.partition(":")
        made = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        yield from below(made, f"wattlake {command.name}", context(root, "wattlake", None))


def below(command: click.Command, words: str, parent: click.Context) -> Iterator[tuple[str, click.Context]]:
    """A command, and if it is a group, what is in it."""
    own = context(command, words, parent)
    yield words, own
    for name, inner in getattr(command, "commands", {}).items():
        yield from below(inner, f"{words} {name}", own)


def context(command: click.Command, words: str, parent: click.Context | None) -> click.Context:
    """A context in which the command gives its help in a fixed width; only `wattlake` itself has the options for shell completion."""
    if parent is not None:
        command.params = [p for p in command.params if p.name not in ("install_completion", "show_completion")]
    made = type(command).context_class(command, info_name=words.rpartition(" ")[2], parent=parent, terminal_width=_WIDTH, max_content_width=_WIDTH)
    made.help_option_names = ["-h", "--help"]
    return made


def page() -> str:
    """The whole page."""
    os.environ.pop("WATTLAKE_DEBUG", None)
    parts = ["# Commands", "", inspect.cleandoc("""
        Made from the command line's own help by `make docs`; do not edit. The columns that `import` takes are in
        [reference.md](reference.md), the settings in [configuration.md](configuration.md).

        `wattlake --install-completion` teaches bash, zsh, fish or PowerShell to complete commands and options; a new shell knows it.
        `wattlake` or a group of commands without more prints its help and ends with exit code 2, as nothing was done."""), ""]
    for words, made in commands():
        with made:
            parts += [f"## {words}", "", "```text", made.command.get_help(made).rstrip(), "```", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
