"""The demo's folder: its own things are replaced, anybody else's are safe."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattlake_agents.demo.folder import MADE, MARKER, held
from wattlake_contracts.errors import UsageError, WattlakeError


def test_a_folder_is_made_and_made_anew(tmp_path: Path) -> None:
    out = tmp_path / "a" / "demo"
    with held(out) as folder:
        (folder.logs / "old.log").write_text("old")
        (folder.work / "deep").mkdir()
        folder.report.write_text("old")
    with held(out) as folder:
        assert sorted(p.name for p in out.iterdir()) == sorted([MARKER, "logs", "state", "work"])
        assert not list(folder.logs.iterdir())


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    with held(tmp_path) as folder:
        assert folder.work.is_dir()


def test_what_no_demo_made_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "precious").write_text("mine")
    with pytest.raises(UsageError, match="no demo made it") as refused, held(tmp_path):
        pytest.fail("it was taken")
    assert "--out" in refused.value.next_step
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["lake", "lake/precious"]


def test_what_the_user_put_beside_a_demo_stays(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    with held(out):
        (out / "notes.txt").write_text("mine")
    with held(out):
        assert (out / "notes.txt").read_text() == "mine"


def test_a_link_in_it_is_not_followed(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "demo", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("mine")
    with held(out):
        pass
    for name in MADE:
        path = out / name
        if path.is_dir():
            path.rmdir()
        path.symlink_to(elsewhere)
    with held(out) as folder:
        assert folder.work.is_dir()
        assert not folder.work.is_symlink()
    assert (elsewhere / "precious").read_text() == "mine"


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with held(tmp_path / "demo") as folder:
        (folder.work / "kept").write_text("at work")
        with pytest.raises(WattlakeError, match="another demo is at work"), held(tmp_path / "demo"):
            pytest.fail("it was taken twice")
        assert (folder.work / "kept").is_file()


def test_a_file_in_its_place_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(WattlakeError) as failed, held(tmp_path / "demo"):
        pytest.fail("a file was taken for a folder")
    assert failed.value.subject == str(tmp_path / "demo")
    assert "--out" in failed.value.next_step
