"""The demo's configuration holds whatever the user's environment says."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattlake_agents.demo.folder import Folder
from wattlake_agents.demo.settings import environment, settings, toml
from wattlake_contracts.config import Config, load
from wattlake_contracts.log_address import FileLog, log_address


@pytest.mark.parametrize("name", ["demo", 'a "quoted" \\ name', "näme ☃"])
def test_it_is_read_back_as_it_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in ("WATTLAKE_CONFIG", "WATTLAKE_LOG", "WATTLAKE_LAKE"):
        monkeypatch.delenv(variable, raising=False)
    folder = Folder(tmp_path / name)
    folder.root.mkdir()
    folder.config.write_text(toml(settings(folder, "Ours & \"theirs\"")), encoding="utf-8")
    config: Config = load(folder.config)
    assert log_address(config) == FileLog(folder.log)
    assert config.lake == str(folder.lake)
    assert (config.agent.interval_s, config.agent.flush_s, config.agent.metrics) == (0.5, 2.0, "")
    assert config.agent.state_dir == str(folder.state)
    assert config.report.organisation == 'Ours & "theirs"'


def test_the_users_variables_do_not_redirect_the_demo(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    inherited = {"WATTLAKE_LAKE": "/precious", "WATTLAKE_LOG": "file:/precious", "WATTLAKE_AGENT_STATE_DIR": "/run/wattlake",
                 "WATTLAKE_CONFIG": "/etc/wattlake.toml", "WATTLAKE_AGENT_SYS_ROOT": "/fake/sys", "HOME": "/home/ann"}
    assert environment(folder, settings(folder, "x"), inherited) == {
        "WATTLAKE_CONFIG": str(folder.config), "WATTLAKE_AGENT_SYS_ROOT": "/fake/sys", "HOME": "/home/ann", "PYTHONUNBUFFERED": "1"}
