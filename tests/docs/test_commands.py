"""Every command is documented, and every command that is documented exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

import pages


@pytest.fixture(scope="session")
def commands(commands_script: ModuleType) -> dict[str, click.Context]:
    return dict(commands_script.commands())


def test_the_page_of_commands_is_what_the_commands_say(root: Path) -> None:
    made = subprocess.run([sys.executable, root / "docs/commands.py"], capture_output=True, text=True, check=True, timeout=120)
    assert (root / "docs/commands.md").read_text(encoding="utf-8") == made.stdout, "run `make docs`"


THERE = {"demo", "agent run", "agent once", "agent status", "job run", "job start", "job stop", "record transfer", "record serving", "import", "simulate",
         "run", "land", "account", "sql", "check", "report", "lake status", "lake maintain", "lake verify", "run --follow", "log init", "log status",
         "log tail", "log dump", "doctor", "dev kafka start", "dev kafka stop", "dev kafka status", "dev flink start", "dev flink stop", "dev flink status"}
#: What is planned and absent, as `command` or `command --option`.
ABSENT = {"export", "whatif", "explain", "serve"}


def exists(commands: dict[str, click.Context], what: str) -> bool:
    """Whether there is such a command, with such an option if one is named."""
    name, _, option = what.partition(" --")
    context = commands.get(f"wattlake {name}")
    return context is not None and (not option or any(f"--{option}" in p.opts for p in context.command.get_params(context)))


def test_every_command_that_is_there_today_is_found(commands: dict[str, click.Context]) -> None:
    assert {what for what in THERE if not exists(commands, what)} == set()


def test_the_readme_names_every_planned_command_that_is_absent(commands: dict[str, click.Context], root: Path) -> None:
    section = (root / "README.md").read_text(encoding="utf-8").partition("## What is not there yet")[2].partition("\n## ")[0]
    (row,) = re.findall(r"^\| commands \| (.+?) are planned and absent\.", section, flags=re.MULTILINE)
    assert set(re.findall(r"`([^`]+)`", row)) == ABSENT
    assert {what for what in ABSENT if exists(commands, what)} == set(), "no longer absent: take it out of the README and of ABSENT"


def test_every_command_and_every_option_has_help(commands: dict[str, click.Context]) -> None:
    silent = []
    for words, context in commands.items():
        if not (context.command.help or "").strip():
            silent.append(words)
        silent += [f"{words} {parameter.opts[0]}" for parameter in context.command.get_params(context)
                   if isinstance(parameter, click.Option) and not parameter.help]
    assert silent == []


def test_a_name_means_the_same_everywhere(commands: dict[str, click.Context]) -> None:
    meanings: dict[str, set[str]] = {}
    for context in commands.values():
        for parameter in context.command.get_params(context):
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                if option in ("--config", "--lake", "--log"):
                    meanings.setdefault(option, set()).add(str(parameter.help))
    assert {option: len(helps) for option, helps in meanings.items()} == {"--config": 1, "--lake": 1, "--log": 1}


@pytest.mark.parametrize(("place", "line"), pages.commands(), ids=lambda value: value)
def test_an_example_names_commands_and_options_that_exist(commands: dict[str, click.Context], place: str, line: str) -> None:
    words = shlex.split(re.split(r"\s#\s", line)[0].replace("…", ""))
    path, rest = words[0], words[1:]
    while rest and f"{path} {rest[0]}" in commands:
        path, rest = f"{path} {rest[0]}", rest[1:]
    assert path != "wattlake" or not rest or rest[0].startswith("-"), f"{place}: no command {rest[0]!r}"
    known = {option for parameter in commands[path].command.get_params(commands[path]) for option in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in (rest[: rest.index("--")] if "--" in rest else rest) if word.startswith("-")]
    assert [option for option in given if option not in known] == [], place


@pytest.mark.parametrize("arguments", [("agent", "--help"), ("demo", "--help"), ("--help",), ("--version",)])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...], tmp_path: Path) -> None:
    code = ("import sys\n"
            f"sys.argv = ['wattlake', *{arguments!r}]\n"
            "from wattlake_agents.command import main\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
            "heavy = ('pyarrow', 'numpy', 'pandas', 'duckdb', 'apache_beam', 'great_expectations', 'altair', 'http.server')\n"
            "print('LOADED', [m for m in heavy if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_what_goes_wrong_is_told_in_two_lines_and_no_traceback(wattlake: Path, tmp_path: Path) -> None:
    (tmp_path / "wattlake.toml").write_text("[agent]\nintervall_s = 1\n")
    done: Any = subprocess.run([wattlake, "agent", "status"], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 2
    assert "intervall_s" in done.stderr
    assert "docs/configuration.md" in done.stderr
    assert "Traceback" not in done.stderr
