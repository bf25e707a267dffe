"""What the command line tells its user to type can be typed."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path

import pytest

from wattlake_contracts import commands


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An environment below the current folder with a `wattlake` that says how it may be called."""
    venv.create(tmp_path / "an env", with_pip=False, symlinks=True)
    script = tmp_path / "an env/bin/wattlake"
    script.write_text(f"#!{tmp_path}/an env/bin/python\n")
    contracts = Path(commands.__file__).parents[1]
    script.write_text(f"#!/bin/sh\n'''exec' '{tmp_path}/an env/bin/python' \"$0\" \"$@\"\n'''\nimport sys\nsys.path.insert(0, {str(contracts)!r})\n"
                      "from wattlake_contracts.commands import how_to_activate, itself\nprint(itself())\nprint(how_to_activate())\n")
    script.chmod(0o755)
    return script


def said(script: str, folder: Path, path: str) -> list[str]:
    done = subprocess.run(["/bin/sh", "-c", script], cwd=folder, capture_output=True, text=True, check=True, timeout=60, env={"PATH": path})
    return done.stdout.splitlines()


def test_the_command_is_told_as_it_can_be_typed(installed: Path, tmp_path: Path) -> None:
    plain = "/usr/bin:/bin"
    assert said("an\\ env/bin/wattlake", tmp_path, plain) == ["'an env/bin/wattlake'", "source 'an env/bin/activate'"]
    assert said("../an\\ env/bin/wattlake", tmp_path / "an env", plain)[0] == "bin/wattlake"
    (tmp_path / "elsewhere").mkdir()
    assert said(f"'{installed}'", tmp_path / "elsewhere", plain) == [f"'{installed}'", f"source '{installed.with_name('activate')}'"]
    # the lines can be pasted
    shown, activate = said("an\\ env/bin/wattlake", tmp_path, plain)
    assert said(shown, tmp_path, plain) == [shown, activate]
    assert subprocess.run(["/bin/bash", "-c", f"{activate} && wattlake"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
                          env={"PATH": plain}).stdout.splitlines() == ["wattlake", ""]


def test_found_on_the_path_it_is_told_by_its_name(installed: Path, tmp_path: Path) -> None:
    path = f"{installed.parent}{os.pathsep}/usr/bin:/bin"
    assert said("wattlake", tmp_path, path) == ["wattlake", ""]
    assert said(f"'{installed}'", tmp_path, path) == ["wattlake", ""]


def test_an_extra_is_installed_from_the_folder_that_this_copy_came_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Noted:
        def __init__(self, text: str | None) -> None:
            self.text = text

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return self.text

    folder = tmp_path / "a copy"
    folder.mkdir()
    told = {}
    for what, text in {"folder": json.dumps({"url": folder.as_uri(), "dir_info": {}}), "gone": json.dumps({"url": "file:///nowhere/at/all"}),
                       "elsewhere": json.dumps({"url": "https://example.org/x.git"}), "nothing": None, "broken": "{"}.items():
        monkeypatch.setattr(commands, "distribution", lambda _name, text=text: Noted(text))
        told[what] = commands.how_to_install("pipelines")
    assert told["folder"] == f"in '{folder}': pip install '.[pipelines]' (or '.[all]'), or uv sync --extra pipelines"
    assert {told[w] for w in ("gone", "elsewhere", "nothing", "broken")} == {
        "in the source folder that this copy was installed from: pip install '.[pipelines]' (or '.[all]'), or uv sync --extra pipelines"}
    assert all("wattlake[" not in text for text in told.values())
