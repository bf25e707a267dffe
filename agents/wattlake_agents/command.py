"""The `wattlake` command: assembled from the rooms' lists, each command imported when it is called."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
from importlib.metadata import entry_points
from importlib.metadata import version as installed_version
from types import FrameType
from typing import Any

import click
import typer
from typer.core import TyperCommand, TyperGroup

from wattlake_agents.closed_output import CLOSED, closed
from wattlake_contracts.commands import Command, how_to_install
from wattlake_contracts.config import unknown_variables
from wattlake_contracts.errors import FAILED, WattlakeError
from wattlake_contracts.options import FORMATS, say
from wattlake_contracts.plain_words import plainly

GROUP = "wattlake.commands"
#: What a shell expects of a command that Ctrl-C ended.
INTERRUPTED = 128 + signal.SIGINT


def registered() -> dict[str, Command]:
    """Every command that an installed room offers, by name."""
    found: dict[str, Command] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        for command in entry.load():
            found[command.name] = command
    return found


def missing(command: Command) -> tuple[str, ...]:
    """The modules that a command needs and that are not installed."""
    return tuple(name for name in command.needs if importlib.util.find_spec(name) is None)


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and help, and imports one when it is called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known = registered()

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is named. Who gives it --json or --csv, as other programs take them, is told how that is written here."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            form = error.option_name.removeprefix("--")
            given = error.ctx.command.params if error.ctx is not None and form in FORMATS else ()
            if any("--format" in p.opts and form in (getattr(p, "help", None) or "") for p in given):
                message = f"No such option: {error.option_name}; did you mean --format {form}?"
                raise click.NoSuchOption(error.option_name, message, ctx=error.ctx) from error
            raise

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.known)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = self.known.get(cmd_name)
        if command is None:
            return None
        # for the list of commands a name and a line are enough
        if cmd_name not in sys.argv[1:] and not os.environ.get("_WATTLAKE_COMPLETE"):
            return TyperCommand(cmd_name, help=command.help)
        if lacking := missing(command):
            def explain(**_: Any) -> None:
                raise WattlakeError(f"`wattlake {cmd_name}` needs {', '.join(lacking)}, which the agent's install leaves out",
                                    next_step=how_to_install(command.extra))
            return TyperCommand(cmd_name, help=command.help, callback=explain, add_help_option=False,
                                context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
        module, _, attribute = command.target.partition(":")
        made = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        made.name = cmd_name
        # completion is of the whole command line, and installed once: by `wattlake` itself
        made.params = [p for p in made.params if p.name not in ("install_completion", "show_completion")]
        return made


app = typer.Typer(cls=LazyGroup, rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="Know, prove and cut the carbon of machine learning.\n\nStart with `wattlake demo`.",
                  epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 a quality gate failed, 4 incomplete.",
                  context_settings={"help_option_names": ["-h", "--help"]})


def _print_version(asked: bool) -> None:
    if asked:
        print(f"wattlake {installed_version('wattlake')}")
        raise typer.Exit


@app.callback()
def _root(debug: bool = typer.Option(False, "--debug", help="Show a traceback when something fails."),
          version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True, callback=_print_version)) -> None:
    del version  # handled by its callback
    if debug:
        os.environ["WATTLAKE_DEBUG"] = "1"
    for line in unknown_variables(os.environ):
        say(f"wattlake: {line}")


class _Interrupts:
    """Whether Ctrl-C was pressed, even if a library makes an error of its own of the KeyboardInterrupt, as DuckDB and Arrow do."""

    def __init__(self) -> None:
        self.came = False
        # who started this in the background may have it ignore Ctrl-C, which stays so
        self._mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._mine:
            signal.signal(signal.SIGINT, self._note)

    def over(self) -> None:
        """From here on Ctrl-C ends the process at once: all is done, and Python's own tidying up would tell of it at length."""
        if self._mine:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt


def main() -> None:
    """Run the command line; an error the user can mend is two lines, anything else asks for --debug.

    Ctrl-C, and a reader of the output that goes away, are told by the exit code alone.
    """
    debug = "--debug" in sys.argv or bool(os.environ.get("WATTLAKE_DEBUG"))
    interrupts = _Interrupts()
    try:
        try:
            app(prog_name="wattlake")
        except SystemExit as ended:
            # click takes every broken pipe for that of its output
            if isinstance(ended.__context__, BrokenPipeError):
                raise ended.__context__ from None
            # little output is written only now; were it left to Python's own end, that would tell of a pipe without a reader
            sys.stdout.flush()
            raise
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except WattlakeError as error:
        if debug:
            raise
        if interrupts.came:
            sys.exit(INTERRUPTED)
        print(f"wattlake: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and closed():
            sys.exit(CLOSED)
        if debug:
            raise
        if interrupts.came:
            sys.exit(INTERRUPTED)
        print(f"wattlake: {plainly(error)}\n  next: run it again as `wattlake --debug …` for the traceback", file=sys.stderr)
        sys.exit(FAILED)
    finally:
        interrupts.over()
