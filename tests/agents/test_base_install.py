"""The base install: a virtual environment that holds what the agent needs, and no extra."""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from wattlake_agents.command import registered

ROOMS = ("agents", "contracts", "pipelines", "warehouse")
ROOT = Path(__file__).resolve().parents[2]
WITH_EXTRA = {name: command for name, command in registered().items() if command.extra}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with wattlake and what it requires without any extra."""
    folder = tmp_path_factory.mktemp("base")
    venv.create(folder, symlinks=True)
    site = next((folder / "lib").glob("python3*")) / "site-packages"
    names, waiting = set[str](), ["wattlake"]
    while waiting:
        name = waiting.pop()
        if name in names:
            continue
        names.add(name)
        found = distribution(name)
        for entry in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not entry.endswith(".pth"):
                (site / entry).symlink_to(found.locate_file(entry))
        requirements = map(Requirement, found.requires or ())
        waiting += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    # this checkout's rooms, as the one wheel has all four
    (site / "rooms.pth").write_text("".join(f"{ROOT / room}\n" for room in ROOMS))
    return folder / "bin" / "python"


def call(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-c", "from wattlake_agents.command import main; main()", *arguments],
                          capture_output=True, text=True, cwd=folder, timeout=60)


def test_it_holds_none_of_the_heavy_packages(base: Path, tmp_path: Path) -> None:
    code = "import importlib.util as i; print([m for m in ('pyarrow', 'numpy', 'pandas', 'duckdb', 'apache_beam', 'altair') if i.find_spec(m)])"
    assert subprocess.run([base, "-c", code], capture_output=True, text=True, cwd=tmp_path).stdout == "[]\n"
    assert base.resolve() == Path(sys.executable).resolve(), "the same Python, so that only what is installed differs"


def test_every_command_is_listed(base: Path, tmp_path: Path) -> None:
    done = call(base, tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert all(f"\n  {name} " in done.stdout for name in registered())


@pytest.mark.parametrize(("name", "arguments"), [*((name, ("--lake", "x", "y")) for name in sorted(WITH_EXTRA)), ("run", ()), ("run", ("--help",))])
def test_a_command_of_an_extra_says_which_to_install(base: Path, tmp_path: Path, name: str, arguments: tuple[str, ...]) -> None:
    command = WITH_EXTRA[name]
    done = call(base, tmp_path, name, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert first == f"wattlake: `wattlake {name}` needs {', '.join(command.needs)}, which the agent's install leaves out"
    assert second.startswith("  next: ")
    assert "pip install '" in second
    assert f"[{command.extra}]'" in second


@pytest.mark.parametrize("name", sorted(set(registered()) - set(WITH_EXTRA)))
def test_a_command_without_extra_works(base: Path, tmp_path: Path, name: str) -> None:
    done = call(base, tmp_path, name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"wattlake {name}" in done.stdout


def test_a_job_is_told_to_the_log(base: Path, tmp_path: Path) -> None:
    done = call(base, tmp_path, "job", "run", "--job", "j1", "--log", f"file:{tmp_path / 'log'}", "--", "true")
    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "log").glob("job.*/*.wlog"))
