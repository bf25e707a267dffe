"""The `wattlake` command itself: completion, misspelt variables, and what an agent-only install says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WATTLAKE = Path(sys.executable).with_name("wattlake")
#: As a shell tells of a tool that SIGPIPE ended.
CLOSED = 141


def wattlake(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(WATTLAKE), *arguments], capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **variables})


@pytest.mark.parametrize(("words", "offered"), [("wattlake sim", ["simulate"]), ("wattlake lake ver", ["verify"]), ("wattlake run --unt", ["--until"])])
def test_a_shell_completes_commands_and_options(words: str, offered: list[str]) -> None:
    count = len(words.split()) - 1
    done = wattlake(COMP_WORDS=words, COMP_CWORD=str(count), _WATTLAKE_COMPLETE="complete_bash")
    assert done.stdout.split() == offered


def test_completion_is_installed_by_the_command_itself_and_no_other() -> None:
    assert "--install-completion" in wattlake("--help").stdout
    assert "--install-completion" not in wattlake("lake", "--help").stdout
    assert "completion" not in wattlake("run", "--help").stdout


def test_a_misspelt_variable_is_told_and_stops_nothing() -> None:
    done = wattlake("simulate", "--help", WATTLAKE_LAEK="x")
    assert done.returncode == 0
    assert done.stderr == "wattlake: the variable WATTLAKE_LAEK means nothing to wattlake; did you mean WATTLAKE_LAKE?\n"


@pytest.mark.parametrize("arguments", [("log", "status", "--json"), ("doctor", "--json"), ("run", "--csv")])
def test_a_format_that_is_given_as_an_option_is_told_as_it_is_written_here(arguments: tuple[str, ...]) -> None:
    done = wattlake(*arguments)
    assert done.returncode == 2
    assert f"No such option: {arguments[-1]}; did you mean --format {arguments[-1].removeprefix('--')}?" in done.stderr


def test_nothing_asked_for_is_a_mistake_of_usage_that_shows_the_help() -> None:
    done = wattlake()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("agent", "status", "--format", "json")])
def test_a_reader_that_goes_away_is_no_error_to_be_told_of(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    # an unbuffered process would not have its output lie until its end
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.Popen([Path(sys.executable).with_name("wattlake"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=environment | {"WATTLAKE_AGENT_STATE_DIR": str(tmp_path)})
    assert done.stdout is not None
    assert done.stderr is not None
    done.stdout.close()
    said = done.stderr.read()
    assert done.wait(30) == CLOSED
    assert "Error" not in said
    assert "Exception" not in said


def test_a_pipe_that_is_not_its_output_is_an_error_that_is_told() -> None:
    done = subprocess.run([sys.executable, "-c", """
from wattlake_agents import command
def hung_up(**_): raise BrokenPipeError(32, "Broken pipe")
command.app = hung_up
command.main()"""], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("wattlake: Broken pipe\n")
