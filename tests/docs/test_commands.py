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


def test_the_whole_design_is_there(commands: dict[str, click.Context]) -> None:
    assert {"wattlake demo", "wattlake agent run", "wattlake agent once", "wattlake agent status", "wattlake job run", "wattlake job start",
            "wattlake job stop", "wattlake record transfer", "wattlake record serving", "wattlake import", "wattlake simulate", "wattlake run",
            "wattlake land", "wattlake account", "wattlake sql", "wattlake check", "wattlake report", "wattlake lake status",
            "wattlake lake maintain", "wattlake lake verify"} <= set(commands)


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
