"""How a room tells the command line what it offers, without importing it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command of `wattlake`.

    target: `module:attribute` of a typer.Typer, imported only when the command is called. help: its
    line in `wattlake --help`. extra: what must be installed beyond the agent, or ''. needs: modules
    that tell whether it is.
    """

    name: str
    target: str
    help: str
    extra: str = ""
    needs: tuple[str, ...] = ()
