"""How a room tells the command line what it offers, without importing it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit


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


def itself() -> str:
    """The command as its user can type it: `wattlake` where PATH leads to the one that runs, else its path."""
    found, mine = shutil.which("wattlake"), Path(sys.argv[0])
    if mine.name != "wattlake" or not mine.is_file() or (found and Path(found).samefile(mine)):
        return "wattlake"
    return shlex.quote(_near(mine))


def how_to_activate() -> str:
    """The command after which `wattlake` alone is found, or '' where it is found already or there is no environment to activate."""
    script = Path(sys.prefix) / "bin" / "activate"
    return "" if itself() == "wattlake" or not script.is_file() else f"source {shlex.quote(_near(script))}"


def _near(path: Path) -> str:
    """A path as one would type it: from the current folder where it is below that."""
    return os.path.relpath(path) if path.absolute().is_relative_to(Path.cwd()) else str(path.absolute())


def how_to_install(extra: str) -> str:
    """What to do to get an extra, or several with commas between: from where this copy came, for a package of this name elsewhere may be anybody's."""
    source = _source_folder()
    folder = f"in {shlex.quote(str(source))}" if source else "in the source folder that this copy was installed from"
    # `all` is all that a lake needs, and no servers
    everything = "" if "servers" in extra else " (or '.[all]')"
    return f"{folder}: pip install '.[{extra}]'{everything}, or uv sync {' '.join(f'--extra {one}' for one in extra.split(','))}"


def _source_folder() -> Path | None:
    """The folder that this copy was installed from, where the installer has noted it and it is still there."""
    try:
        noted = json.loads(distribution("wattlake").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    url = urlsplit(str(noted.get("url", "")))
    folder = Path(unquote(url.path))
    return folder if url.scheme == "file" and folder.is_dir() else None
