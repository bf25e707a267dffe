"""Keys are changed beside a committer that holds the lake: it does what it is asked once, or says why not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from at_work import WATTLAKE, Follower, until
from lakes import rows
from logs import Log
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_contracts.kafkalog.signing import public_text
from wattlake_contracts.layout import REQUESTS
from wattlake_pipelines import follow
from wattlake_pipelines.lake import change_keys as asking
from wattlake_pipelines.lake import keys, request_files
from wattlake_pipelines.lake.answer_requests import answer_requests
from wattlake_pipelines.lake.change_keys import change_keys
from wattlake_pipelines.lake.committer import CommitRefusedError, Committer
from wattlake_pipelines.lake.lock import AtWorkError
from wattlake_pipelines.lake.request_files import Answer, Request
from wattlake_pipelines.land.source import FileSource

T0 = 1_760_000_000_000
A, B = (public_text(bytes([n]) * 32) for n in (1, 2))
HELD = "SELECT node, public_key, valid_from_ms, valid_to_ms, required FROM lake.node_keys ORDER BY batch"
ADD = keys.Add("n1", A, None, None)
DIE_AT = Path(__file__).parents[2] / "support" / "die_at.py"


def reading(log: Log, i: int) -> None:
    log.put("readings", [{"node": "n1", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}], node="n1")


def request(change: keys.Change = ADD, asked_ms: int | None = None) -> Request:
    return Request(time.time_ns() // 1_000_000 if asked_ms is None else asked_ms, change)


def answered(lake: Path, name: str) -> Answer:
    found = request_files.answer_to(lake, name)
    assert found is not None
    return found


def left(lake: Path) -> list[str]:
    """What lies in the folder, but for answers."""
    return sorted(path.name for path in (lake / REQUESTS).iterdir() if path.suffix != request_files.ANSWER)


def in_thread(work: Callable[[], None]) -> tuple[threading.Thread, list[Exception]]:
    failed: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, failed


@pytest.mark.slow
def test_the_command_has_a_follower_make_its_changes_which_goes_on(tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    reading(log, 0)
    follower = Follower(lake, f"file:{log.root}", {})

    def key(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([WATTLAKE, "lake", "key", *arguments, "--lake", str(lake)], env=follower.environment, cwd=tmp_path, capture_output=True,
                              text=True, timeout=300)

    try:
        follower.start()
        until(lambda: "1 row of 1 record" in follower.said.read_text(), "it lands")
        done = key("add", "n1", A, "--from", "2026-01-01", "--format", "csv")
        assert (done.returncode, "it is asked to do this between two rounds" in done.stderr) == (0, True), done.stderr
        assert done.stdout.splitlines()[1].startswith(f"n1,{A},2026-01-01T00:00:00.000Z,,")
        wrong = key("add", "n1", "rubbish")
        assert (wrong.returncode, "no public key" in wrong.stderr) == (2, True), wrong.stderr
        nothing = key("end", "n2")
        assert (nothing.returncode, "node n2: has no key that holds then" in nothing.stderr) == (2, True), nothing.stderr
        assert "each key of node n1 ends" in key("end", "n1", "--at", "2026-02-01").stderr
        assert key("waive", "n1").returncode == 0
        reading(log, 1)
        until(lambda: "2 rows of 2 records" in follower.said.read_text(), "it goes on")
        assert follower.stop() == 0
    finally:
        follower.end()
    said = follower.said.read_text()
    assert said.count("asked to add a key of node 'n1': done") == 1, said
    assert "a key of node 'n2': refused, " in said
    assert "a key of node 'n1': refused, " not in said, "what makes no sense is not asked"
    jan, feb = 1_767_225_600_000, 1_769_904_000_000
    assert rows(lake, HELD) == [("n1", A, jan, None, True), ("n1", A, jan, feb, True), ("n1", None, None, None, False)]
    assert left(lake) == []


@pytest.mark.slow
@pytest.mark.parametrize("step", ["booked", "committed"])
def test_a_follower_killed_in_the_middle_and_the_next_one_do_it_once(step: str, tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    reading(log, 0)
    Committer(lake).close()
    request_files.make_folder(lake)
    name = request_files.put(lake, request())
    follower = Follower(lake, f"file:{log.root}", {})
    # the first commit holds the factors that come with it
    dying = subprocess.run([sys.executable, str(DIE_AT), "--command", step, "2", "KILL", "run", "--follow", "--log", f"file:{log.root}", "--lake", str(lake)],
                           env=follower.environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert dying.returncode == -signal.SIGKILL, dying.stderr
    assert (left(lake), request_files.answer_to(lake, name)) == ([f"{name}.taken"], None)
    try:
        follower.start()
        until(lambda: request_files.answer_to(lake, name) is not None, "the next one answers")
        until(lambda: "1 row of 1 record" in follower.said.read_text(), "it goes on")
        assert follower.stop() == 0
    finally:
        follower.end()
    assert answered(lake, name).error() is None
    assert rows(lake, HELD) == [("n1", A, None, None, True)]
    assert left(lake) == []


def test_a_change_that_nobody_comes_to_is_taken_back(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with Committer(lake) as committer:
        with pytest.raises(AtWorkError, match="another committer is at work: process"):
            change_keys(lake, ADD)
        request_files.make_folder(lake)
        with pytest.raises(AtWorkError, match="was asked no more: nothing has changed") as refused:
            change_keys(lake, ADD, patience_s=0.3)
        assert f"kill {os.getpid()}" in refused.value.next_step
        answer_requests(committer)
        assert committer.query(HELD).fetchall() == []
    assert left(lake) == []


@pytest.mark.parametrize(("change", "why"), [
    (keys.Add("n1", "rubbish", None, None), "no public key"), (keys.Add("", A, None, None), "no name of a node"),
    (keys.Add("n1", A, T0, T0), "ends before it begins"), (keys.End("n1", "rubbish", T0), "no public key"), (keys.Waive(""), "no name of a node"),
])
def test_what_makes_no_sense_is_refused_before_a_follower_is_asked(change: keys.Change, why: str, tmp_path: Path) -> None:
    lake, heard = tmp_path / "lake", []
    with Committer(lake):
        request_files.make_folder(lake)
        with pytest.raises(UsageError, match=why):
            change_keys(lake, change, told=heard.append)
    assert heard == []
    assert list((lake / REQUESTS).iterdir()) == []


def test_one_who_is_interrupted_asks_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    lake = tmp_path / "lake"
    with Committer(lake) as committer:
        request_files.make_folder(lake)
        monkeypatch.setattr(asking.time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            change_keys(lake, ADD)
        assert left(lake) == []
        answer_requests(committer)
        assert committer.query(HELD).fetchall() == []


def test_should_the_lake_be_free_meanwhile_the_change_is_made_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = tmp_path / "lake"
    monkeypatch.setattr(asking, "_TRY_S", 0.1)
    with Committer(lake):
        request_files.make_folder(lake)
        thread, failed = in_thread(lambda: change_keys(lake, ADD))
        until(lambda: request_files.waiting(lake), "it asks")
    thread.join(60)
    assert (failed, thread.is_alive()) == ([], False)
    assert rows(lake, HELD) == [("n1", A, None, None, True)]


def test_what_is_taken_is_not_taken_back_and_is_told_as_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = tmp_path / "lake"
    monkeypatch.setattr(asking, "_GRACE_S", 0.3)
    with Committer(lake) as committer:
        request_files.make_folder(lake)
        thread, failed = in_thread(lambda: change_keys(lake, ADD, patience_s=1))
        until(lambda: request_files.waiting(lake), "it asks")
        [name] = request_files.waiting(lake)
        assert request_files.take(lake, name)
        thread.join(60)
        assert f"has begun with this and does not come to an end (request {name})" in str(failed[0])
        answer_requests(committer)
        assert committer.query(HELD).fetchall() == [("n1", A, None, None, True)]


def test_what_is_done_or_refused_stays_so(tmp_path: Path) -> None:
    """As after kills between commit and answer, and between answer and putting away."""
    lake = tmp_path / "lake"
    with Committer(lake) as committer:
        request_files.make_folder(lake)
        done, refused = request_files.put(lake, request()), request_files.put(lake, request(keys.Waive("n2")))
        asked = {name: (lake / REQUESTS / f"{name}.asked").read_bytes() for name in (done, refused)}
        answer_requests(committer)
        assert (answered(lake, done).refused, answered(lake, refused).refused) == (None, "need not sign its records as it is")
        keys.end(committer, "n1", A, T0)
        keys.add(committer, "n2", B, None, None)
        for name, content in asked.items():
            (lake / REQUESTS / f"{name}.taken").write_bytes(content)
        (lake / REQUESTS / f"{done}.answer").unlink()
        answer_requests(committer)
        assert (answered(lake, done).refused, answered(lake, refused).refused) == (None, "need not sign its records as it is")
        assert committer.query(HELD).fetchall() == [("n1", A, None, None, True), ("n1", A, None, T0, True), ("n2", B, None, None, True)]
    assert left(lake) == []


def test_what_waited_comes_before_a_change_that_is_made_directly(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    Committer(lake).close()
    request_files.make_folder(lake)
    name = request_files.put(lake, request())
    change_keys(lake, keys.End("n1", A, T0))
    assert answered(lake, name).error() is None
    assert rows(lake, HELD) == [("n1", A, None, None, True), ("n1", A, None, T0, True)]


ORDINARY = msgspec.to_builtins(request())


@pytest.mark.parametrize(("content", "why"), [
    (b"", "is not as it should be"), (b"\xff\xfe", "is not as it should be"), (b"[" * 16_000, "is not as it should be"),
    (b" " * 20_000, "has more than 16384 bytes"),
    (msgspec.json.encode({**ORDINARY, "more": 1}), "unknown field `more`"),
    (msgspec.json.encode({**ORDINARY, "change": {"type": "drop"}}), "Invalid value 'drop'"),
    (msgspec.json.encode({**ORDINARY, "change": {"type": "end", "node": "n1", "public_key": None, "at_ms": 2**70}}), "`$.change.at_ms`"),
    (msgspec.json.encode({**ORDINARY, "asked_ms": T0}), "more than an hour apart"),
    (msgspec.json.encode({**ORDINARY, "asked_ms": 2**60}), "more than an hour apart"),
], ids=["empty", "no text", "deep", "large", "unknown field", "unknown change", "no time", "long ago", "in a long time"])
def test_a_file_that_is_no_request_is_refused_and_those_behind_it_are_done(content: bytes, why: str, tmp_path: Path) -> None:
    lake, name = tmp_path / "lake", "0" * 16
    with Committer(lake) as committer:
        request_files.make_folder(lake)
        (lake / REQUESTS / f"{name}.asked").write_bytes(content)
        other = request_files.put(lake, request())
        answer_requests(committer)
        assert why in str(answered(lake, name).refused)
        assert answered(lake, other).error() is None
        assert committer.query(HELD).fetchall() == [("n1", A, None, None, True)]
    assert left(lake) == []


def test_a_link_is_not_followed_and_what_is_no_file_is_let_be(tmp_path: Path) -> None:
    lake, name, elsewhere = tmp_path / "lake", "0" * 16, tmp_path / "elsewhere"
    elsewhere.write_bytes(msgspec.json.encode(request()))
    with Committer(lake) as committer:
        request_files.make_folder(lake)
        (lake / REQUESTS / f"{name}.asked").symlink_to(elsewhere)
        (lake / REQUESTS / f"{'1' * 16}.asked").mkdir()
        os.mkfifo(lake / REQUESTS / f"{'2' * 16}.asked")
        (lake / REQUESTS / "notes.asked").write_text("mine")
        answer_requests(committer)
        assert answered(lake, name).refused == "the request is a link"
        assert committer.query(HELD).fetchall() == []
    assert elsewhere.exists()
    assert left(lake) == ["1" * 16 + ".asked", "2" * 16 + ".asked", "notes.asked"]


def test_old_answers_are_deleted_and_new_ones_stay(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with Committer(lake) as committer:
        request_files.make_folder(lake)
        old, new = request_files.put(lake, request()), request_files.put(lake, request(keys.Add("n2", B, None, None)))
        answer_requests(committer)
        hours_ago = time.time() - 2 * 3600
        os.utime(lake / REQUESTS / f"{old}.answer", (hours_ago, hours_ago))
        answer_requests(committer)
    assert request_files.answer_to(lake, old) is None
    assert answered(lake, new).error() is None


def test_the_folder_is_for_those_who_may_write_to_the_lake(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    Committer(lake).close()
    lake.chmod(0o2770)
    request_files.make_folder(lake)
    assert (lake / REQUESTS).stat().st_mode & 0o7777 == 0o2770


def test_one_that_dies_while_it_makes_the_folder_leaves_none_that_is_not_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    lake = tmp_path / "lake"
    Committer(lake).close()
    lake.chmod(0o2770)
    with monkeypatch.context() as dying:
        dying.setattr(Path, "chmod", killed)
        with pytest.raises(KeyboardInterrupt):
            request_files.make_folder(lake)
    assert not request_files.is_served(lake)
    request_files.make_folder(lake)
    assert (lake / REQUESTS).stat().st_mode & 0o7777 == 0o2770
    assert list(lake.glob(f"{REQUESTS}*")) == [lake / REQUESTS]


def test_a_folder_that_cannot_be_used_is_told_once_and_the_log_lands_on(tmp_path: Path) -> None:
    log, lake, ends = Log(tmp_path / "log"), tmp_path / "lake", threading.Event()
    failed: list[WattlakeError] = []
    reading(log, 0)

    def heard(done: follow.Followed) -> None:
        if done.rows == 2:
            ends.set()
        reading(log, 1)

    with Committer(lake) as committer:
        (lake / REQUESTS).symlink_to(tmp_path)
        assert not request_files.is_served(lake)
        follow.follow(committer, FileSource(log.root), every_s=0.1, round_bytes=2**20, stop=ends, heard=heard, failed=failed.append)
    [error] = failed
    assert "requests cannot be kept there: Not a directory" in str(error)


def test_a_change_whose_commit_is_refused_is_told_and_tried_again_and_the_log_lands_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, lake, ends = Log(tmp_path / "log"), tmp_path / "lake", threading.Event()
    failed: list[WattlakeError] = []
    reading(log, 0)
    really = keys.make

    def refused(*given: Any) -> None:
        if len(failed) < 2:
            raise CommitRefusedError("the catalogue refused the commit")
        really(*given)
        ends.set()

    def heard(done: follow.Followed) -> None:
        landed.append((done.rows, len(failed)))
        reading(log, 1)

    landed: list[tuple[int, int]] = []
    monkeypatch.setattr(keys, "make", refused)
    with Committer(lake) as committer:
        request_files.make_folder(lake)
        name = request_files.put(lake, request())
        done = follow.follow(committer, FileSource(log.root), every_s=0.1, round_bytes=2**20, stop=ends, heard=heard, failed=failed.append)
    assert landed[:2] == [(1, 0), (2, 1)], "each of those rounds has landed, and then told"
    assert [error.what for error in failed] == ["the catalogue refused the commit"] * 2
    assert done.failures == 2
    assert answered(lake, name).error() is None
    assert rows(lake, HELD) == [("n1", A, None, None, True)]


def test_a_request_that_cannot_be_answered_brings_on_no_round_and_a_new_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = tmp_path / "lake"
    monkeypatch.setattr(follow, "_LOOK_S", 0.05)
    with Committer(lake) as committer:
        request_files.make_folder(lake)
        name = request_files.put(lake, request())
        assert request_files.take(lake, name)
        begun = time.monotonic()
        follow._pause(threading.Event(), begun + 0.5, committer, request_files.waiting(lake))
        assert time.monotonic() - begun >= 0.5
        seen = request_files.waiting(lake)
        request_files.put(lake, request(keys.Waive("n1")))
        follow._pause(threading.Event(), time.monotonic() + 600, committer, seen)


def test_rounds_keep_their_distance_while_a_request_cannot_be_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, lake, ends = Log(tmp_path / "log"), tmp_path / "lake", threading.Event()
    log.root.mkdir()
    begun: list[float] = []

    def full(*_: object) -> None:
        begun.append(time.monotonic())
        if len(begun) == 2:
            ends.set()
        raise request_files.RequestFolderError("requests cannot be kept there: No space left on device")

    monkeypatch.setattr(follow, "_LOOK_S", 0.05)
    monkeypatch.setattr(request_files, "answer", full)
    with Committer(lake) as committer:
        request_files.make_folder(lake)
        request_files.put(lake, request())
        follow.follow(committer, FileSource(log.root), every_s=3, round_bytes=2**20, stop=ends)
        assert committer.query(HELD).fetchall() == [("n1", A, None, None, True)]
    assert begun[1] - begun[0] > 1.5


def test_the_errors_are_those_of_a_change_that_is_made_directly(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    stop = threading.Event()
    wrong = keys.End("n1", A, T0)
    with Committer(lake) as committer:
        with pytest.raises(UsageError) as directly:
            keys.make(committer, wrong)
        request_files.make_folder(lake)

        def serve() -> None:
            while not stop.wait(0.05):
                answer_requests(committer)

        thread, failed = in_thread(serve)
        try:
            with pytest.raises(UsageError) as asked:
                change_keys(lake, wrong)
        finally:
            stop.set()
            thread.join(30)
    assert failed == []
    assert str(asked.value) == str(directly.value)
