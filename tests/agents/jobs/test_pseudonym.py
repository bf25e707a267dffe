"""User names as a keyed hash."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from wattlake_agents.jobs.pseudonym import pseudonym, user_name
from wattlake_contracts.config import AgentConfig
from wattlake_contracts.errors import WattlakeError


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_bytes(b"0123456789abcdef0123456789abcdef")
    file.chmod(0o640)
    return file


def configured(file: Path | str) -> AgentConfig:
    return AgentConfig(pseudonymise=True, pseudonym_key_file=str(file))


def test_the_same_name_stays_the_same_and_depends_on_the_key(key_file: Path) -> None:
    first = user_name(configured(key_file), "ann")
    assert first == user_name(configured(key_file), "ann")
    assert first != user_name(configured(key_file), "bob")
    assert first != pseudonym("ann", b"another key, also long enough")
    assert first is not None
    assert first.startswith("u-")
    assert "ann" not in first


def test_without_the_setting_the_name_stays() -> None:
    assert user_name(AgentConfig(), "ann") == "ann"
    assert user_name(AgentConfig(), "") is None


@pytest.mark.parametrize(("mode", "content", "says"), [(0o644, b"x" * 32, "everyone may read"), (0o600, b"short", "fewer than")])
def test_a_key_that_hides_nothing_is_refused(tmp_path: Path, mode: int, content: bytes, says: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(WattlakeError, match=says) as caught:
        user_name(configured(file), "ann")
    assert caught.value.next_step


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_missing_key_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WattlakeError):
        user_name(configured(tmp_path / name if name else ""), "ann")


def test_start_refuses_and_run_goes_on_without_the_user(wattlake: Path, machine: Any, state: Path, tmp_path: Path, log_book: Any) -> None:
    environment = machine.environment(state, WATTLAKE_AGENT_PSEUDONYMISE="true", WATTLAKE_AGENT_PSEUDONYM_KEY_FILE=str(tmp_path / "none"))
    log = f"file:{tmp_path / 'log'}"
    started = subprocess.run([wattlake, "job", "start", "--log", log], env=environment, capture_output=True, text=True)
    assert started.returncode == 1
    assert "key of user names" in started.stderr
    ran = subprocess.run([wattlake, "job", "run", "--log", log, "--user", "ann", "--", "true"], env=environment,
                         capture_output=True, text=True)
    assert ran.returncode == 0
    assert "without its user" in ran.stderr
    assert all("user" not in row for row in log_book(tmp_path / "log").rows("jobs"))
