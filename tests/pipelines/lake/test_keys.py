"""The book of keys: rows are added, what was said last holds, and all of it stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lakes import rows
from wattlake_contracts.errors import UsageError
from wattlake_contracts.kafkalog.signing import public_text
from wattlake_pipelines.lake import keys
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.verify import verify
from wattlake_pipelines.land.node_keys import node_keys

T0 = 1_760_000_000_000
A, B = (public_text(bytes([n]) * 32) for n in (1, 2))
HELD = f"SELECT node, public_key, valid_from_ms, valid_to_ms, required FROM lake.{keys.NODE_KEYS.name} ORDER BY batch"

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """`wattlake lake key …` on this test's lake."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WATTLAKE_")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([Path(sys.executable).with_name("wattlake"), "lake", "key", *arguments, "--lake", "lake"], env={**clean, "HOME": str(tmp_path)},
                              cwd=tmp_path, capture_output=True, text=True, timeout=400)

    return run


def test_what_is_said_of_keys_is_added_and_nothing_is_taken_back(tmp_path: Path) -> None:
    with Committer(tmp_path / "lake") as committer:
        keys.add(committer, "n1", A, None, None)
        keys.add(committer, "n1", B, T0, None)
        keys.end(committer, "n1", A, T0 + 5)
        found = node_keys(committer)
        assert [(key.public[0], key.valid_from_ms, key.valid_to_ms) for key in found.keys] == [(1, 0, T0 + 5), (2, T0, 2**62)]
        keys.waive(committer, "n1")
        assert not node_keys(committer)
        keys.add(committer, "n2", A, None, T0)
        maintain(committer, keep_days=0, thorough=True)
        assert verify(committer)[1] == []
        assert node_keys(committer).nodes == ("n2",)
    assert rows(tmp_path / "lake", HELD) == [("n1", A, None, None, True), ("n1", B, T0, None, True), ("n1", A, None, T0 + 5, True),
                                             ("n1", None, None, None, False), ("n2", A, None, T0, True)]
    assert rows(tmp_path / "lake", "SELECT count(*), count(DISTINCT batch), min(added_ms) > 1750000000000 FROM lake.node_keys") == [(5, 5, True)]
    assert [row[:4] + row[5:] for row in keys.listed(tmp_path / "lake")] == [
        ["n1", A, None, "2025-10-09T08:53:20.005Z", False], ["n1", B, "2025-10-09T08:53:20.000Z", None, False],
        ["n2", A, None, "2025-10-09T08:53:20.000Z", True]]
    assert keys.listed(tmp_path / "lake", "n3") == []


def test_a_book_of_many_keys_is_merged_and_says_the_same(tmp_path: Path) -> None:
    with Committer(tmp_path / "lake") as committer:
        for number in range(18):
            keys.add(committer, f"n{number % 5}", public_text(bytes([number]) * 32), None, None)
        before, held = node_keys(committer), committer.query(HELD).fetchall()
        assert maintain(committer, keep_days=0, thorough=True).merged_files >= 18
        assert (node_keys(committer), committer.query(HELD).fetchall()) == (before, held)


@pytest.mark.parametrize("node", ["", "a\nb", "n" * 1001])
def test_a_name_that_no_record_can_bear_has_no_key(tmp_path: Path, node: str) -> None:
    with Committer(tmp_path / "lake") as committer, pytest.raises(UsageError, match="no name of a node"):
        keys.add(committer, node, A, None, None)


def test_what_makes_no_sense_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    with Committer(tmp_path / "lake") as committer:
        with pytest.raises(UsageError, match="ends before it begins"):
            keys.add(committer, "n1", A, T0, T0)
        with pytest.raises(UsageError, match="no public key"):
            keys.add(committer, "n1", "AAAA", None, None)
        with pytest.raises(UsageError, match="has no key that holds then"):
            keys.end(committer, "n1", None, None)
        with pytest.raises(UsageError, match="need not sign"):
            keys.waive(committer, "n1")
        assert node_keys(committer) == keys_none()
        keys.add(committer, "n1", A, None, None)
        keys.add(committer, "n1", B, None, None)
        with pytest.raises(UsageError, match="has 2 keys that hold then"):
            keys.end(committer, "n1", None, None)
        keys.end(committer, "n1", A, None)
        with pytest.raises(UsageError, match="no such key that holds then"):
            keys.end(committer, "n1", A, None)
        keys.end(committer, "n1", None, None)


def keys_none() -> Any:
    from wattlake_pipelines.land.node_keys import NO_KEYS

    return NO_KEYS


def test_the_command_adds_lists_ends_and_waives(call: Call, tmp_path: Path) -> None:
    told = call("list")
    assert (told.returncode, "no lake there yet" in told.stderr) == (1, True)
    Committer(tmp_path / "lake").close()
    assert json.loads(call("list", "--format", "json").stdout) == []
    assert call("add", "n1", "rubbish").returncode == 2
    done = call("add", "n1", A, "--from", "2026-01-01", "--to", "2027-01-01T00:00Z", "--format", "json")
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)
    assert {**row, "added": ""} == {"node": "n1", "public_key": A, "valid_from": "2026-01-01T00:00:00.000Z", "valid_to": "2027-01-01T00:00:00.000Z",
                                    "added": "", "must_sign": True}
    ended = call("end", "n1", "--at", "2000-01-01")
    assert ended.returncode == 0, ended.stderr
    assert "each key of node n1 ends" in ended.stderr
    assert "2000-01-01T00:00:00.000Z" in call("list", "n1").stdout
    waived = call("waive", "n1", "--format", "csv")
    assert waived.stdout.splitlines()[1].endswith(",False"), waived.stderr
    assert call("add", "n1", A, "--from", "soon").returncode == 2
    assert call("list", "--format", "xml").returncode == 2
