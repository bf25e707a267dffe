"""The jars of a server: fetched once by their Maven coordinates, and used only if each is, byte for byte, the one that was locked."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import ssl
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.options import say

if TYPE_CHECKING:
    from jgo.maven import MavenContext

#: Jars fetched at a time: each is small, and most of the time goes into asking.
_AT_A_TIME = 6
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Jar:
    """One jar of a lock. coordinate: group:artifact:version or group:artifact:version:classifier. sha256: of its bytes, in hex."""

    coordinate: str
    sha256: str

    @property
    def group(self) -> str:
        """Its Maven group."""
        return self.coordinate.split(":")[0]

    @property
    def artifact(self) -> str:
        """Its name in the group."""
        return self.coordinate.split(":")[1]

    @property
    def version(self) -> str:
        """Its version."""
        return self.coordinate.split(":")[2]

    @property
    def classifier(self) -> str:
        """Which of several jars of that name and version, or ''."""
        return [*self.coordinate.split(":"), ""][3]

    @property
    def file(self) -> str:
        """Its file's name here: with the group, for two groups may each have an artifact of one name."""
        return "_".join(self.coordinate.split(":")) + ".jar"


def lock_name(server: str) -> str:
    """The file of this package that locks a server's jars."""
    return f"{server}.jars.toml"


def locked(server: str) -> tuple[Jar, ...]:
    """The jars of a server, in the order of its class path."""
    table = tomllib.loads((files(__package__) / lock_name(server)).read_text(encoding="utf-8"))
    return tuple(Jar(coordinate, sha256) for coordinate, sha256 in table["sha256"].items())


def cache_home() -> Path:
    """Where what can be fetched again lies."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wattlake"


def folder_of(server: str, jars: tuple[Jar, ...]) -> Path:
    """The folder of a server's jars: another lock has another folder."""
    digest = hashlib.sha256("".join(f"{jar.coordinate} {jar.sha256}\n" for jar in jars).encode()).hexdigest()
    return cache_home() / f"{server}-{digest[:12]}"


def class_path(server: str) -> list[Path]:
    """The jars of a server, each one verified; the first time they are fetched, which takes a minute or two.

    WattlakeError names a jar that cannot be fetched, or whose bytes are others than those locked.
    """
    jars = locked(server)
    folder = folder_of(server, jars)
    with _alone(folder):
        if lacking := [jar for jar in jars if not (folder / jar.file).is_file()]:
            _fetch(server, lacking, folder)
        for jar in jars:
            _verify(jar, folder / jar.file, f"delete {folder} and start again, and it is fetched anew; if it differs then too, do not run it")
    return [folder / jar.file for jar in jars]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: who comes second finds everything there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(jar: Jar, path: Path, next_step: str) -> None:
    if (found := sha256_of(path)) != jar.sha256:
        raise WattlakeError(f"is not the jar that was locked: its sha256 is {found}, and should be {jar.sha256}", subject=f"{jar.coordinate} in {path}",
                            next_step=next_step)


def _fetch(server: str, jars: list[Jar], folder: Path) -> None:
    """Put jars into the folder, each under its name only when it is verified: what has come stays, whatever happens to the next one."""
    _trust_as_the_system_does()
    say(f"fetching {len(jars)} jars for {server}, once, into {folder}")
    shown = sys.stderr.isatty()
    try:
        # within the folder, so that a verified jar has only to be renamed
        with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as scratch, ThreadPoolExecutor(_AT_A_TIME) as pool:
            context = maven(Path(scratch))
            coming = [pool.submit(_fetch_one, jar, folder, context, Path(scratch)) for jar in jars]
            try:
                for done, future in enumerate(as_completed(coming), 1):
                    future.result()
                    if shown:
                        print(f"\r  {done} of {len(jars)} jars", end="", file=sys.stderr, flush=True)
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _trust_as_the_system_does() -> None:
    """Let requests know the authorities that OpenSSL does: a proxy's own is in no list that came with a package."""
    known = ssl.get_default_verify_paths().cafile
    if known and not os.environ.get("REQUESTS_CA_BUNDLE"):
        os.environ["REQUESTS_CA_BUNDLE"] = known


def maven(cache: Path) -> MavenContext:
    """Where jars come from: Maven's central repository, and those that the user has named in jgo's configuration."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=cache, timeout=_TIMEOUT_S)
    context.remote_repos |= GlobalSettings.load().repositories
    return context


def _fetch_one(jar: Jar, folder: Path, context: MavenContext, scratch: Path) -> None:
    from requests import RequestException

    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact(jar.classifier)
    try:
        found = artifact.resolve()
    except (RequestException, RuntimeError, OSError) as error:
        raise WattlakeError(f"cannot be fetched: {error}", subject=jar.coordinate,
                            next_step="see to the network (or HTTPS_PROXY, or a mirror in ~/.config/jgo.conf) and start again: "
                                      "what has come is kept") from error
    _verify(jar, found, "somebody between here and the repository has changed it, or it was cut short: start again, from another network if it stays so")
    shutil.move(found, scratch / jar.file)
    (scratch / jar.file).replace(folder / jar.file)
