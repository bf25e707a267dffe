"""`wattlake record transfer` and `serving`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def record(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> Call:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([wattlake, "record", *arguments, "--log", f"file:{tmp_path / 'log'}"],
                              env=machine.environment(state), capture_output=True, text=True, timeout=30)

    return call


def test_a_transfer_is_written_with_the_contracts_columns(record: Call, tmp_path: Path, log_book: Any) -> None:
    done = record("transfer", "--bytes", "1000000000", "--medium", "wan", "--from-site", "berlin-1", "--to-site", "paris-2",
                  "--dataset", "c4", "--duration-s", "12.5", "--ts", "2026-01-31T12:00:00+01:00", "--pue-included")
    assert done.returncode == 0, done.stderr
    [row] = log_book(tmp_path / "log").rows("transfers")
    assert row == {"id": done.stdout.strip(), "ts_ms": 1_769_857_200_000, "bytes": 1_000_000_000, "medium": "wan", "from_site": "berlin-1",
                   "to_site": "paris-2", "dataset": "c4", "duration_ms": 12_500, "pue_included": True}


def test_counters_of_a_service_are_written(record: Call, tmp_path: Path, log_book: Any) -> None:
    done = record("serving", "--model", "m", "--epoch", "e1", "--requests", "4", "--tokens-in", "500", "--tokens-out", "60")
    assert (done.returncode, done.stdout) == (0, "")
    [row] = log_book(tmp_path / "log").rows("serving")
    del row["ts_ms"]
    assert row == {"model": "m", "epoch": "e1", "requests": 4, "tokens_in": 500, "tokens_out": 60}


@pytest.mark.parametrize(("arguments", "says"), [
    (("--medium", "pigeon"), "'pigeon' is not one of wan, lan, object, cdn"),
    (("--medium", "wan", "--ts", "2026-01-31T12:00:00"), "has no zone"),
    (("--medium", "wan", "--ts", "12"), "out of range"),
    (("--medium", "wan", "--duration-s", "-1"), "out of range"),
    (("--medium", "wan", "--duration-s", "inf"), "--duration-s: 'inf' is no number"),
    (("--medium", "wan", "--duration-s", "1e999999"), "out of range"),
    (("--medium", "wan", "--bytes", "1.5"), "--bytes: 1.5 is no whole number"),
    (("--medium", "wan", "--bytes", "nan"), "--bytes: 'nan' is no number"),
    (("--medium", "wan", "--bytes", "-1"), "out of range"),
    (("--medium", "wan", "--bytes", str(2**53 + 1)), "out of range"),
    (("--medium", "wan", "--bytes", "1e999999999"), "out of range"),
    (("--medium", "wan", "--model", "(none)"), "--model: '(none)' may not begin with (: reports call other things so"),
    (("--medium", "wan", "--bytes", "many"), "--bytes: 'many' is no number"),
    (("--medium", "wan", "--dataset", "é" * 2**15 + "x"), "--dataset: is a text of 65537 bytes, over the limit of 65536"),
])
def test_a_wrong_value_is_named_and_nothing_is_written(record: Call, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = record("transfer", "--bytes", "1", "--from-site", "a", "--to-site", "b", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(("written", "taken"), [("1e9", 10**9), ("2.0", 2), (str(2**53), 2**53), ("9007199254740991e0", 2**53 - 1), ("0", 0)])
def test_a_whole_number_may_be_written_in_any_way_that_is_exact(record: Call, tmp_path: Path, log_book: Any, written: str, taken: int) -> None:
    done = record("transfer", "--bytes", written, "--medium", "lan", "--from-site", "a", "--to-site", "b")
    assert done.returncode == 0, done.stderr
    assert [r["bytes"] for r in log_book(tmp_path / "log").rows("transfers")] == [taken]


@pytest.mark.parametrize(("cached", "code"), [("5", 0), ("6", 2)])
def test_no_more_tokens_are_cached_than_were_read(record: Call, tmp_path: Path, cached: str, code: int) -> None:
    done = record("serving", "--model", "m", "--epoch", "e", "--requests", "1", "--tokens-in", "5", "--tokens-out", "1", "--tokens-cached", cached)
    assert (done.returncode, "--tokens-cached: 6 are more than the 5" in done.stderr) == (code, code == 2)
    assert (tmp_path / "log").exists() == (code == 0)


@pytest.mark.parametrize(("ahead_s", "code"), [(86_000, 0), (87_000, 2)])
@pytest.mark.parametrize("arguments", [
    ("transfer", "--bytes", "1", "--medium", "wan", "--from-site", "a", "--to-site", "b"),
    ("serving", "--model", "m", "--epoch", "e", "--requests", "1", "--tokens-in", "5", "--tokens-out", "1"),
])
def test_what_landing_would_reject_for_its_instant_is_refused_at_once(record: Call, tmp_path: Path, arguments: tuple[str, ...], ahead_s: int,
                                                                     code: int) -> None:
    done = record(*arguments, "--ts", str(round((time.time() + ahead_s) * 1000)))
    assert done.returncode == code
    assert ("--ts: lies more than 24 h ahead" in done.stderr) == (code == 2)
    assert (tmp_path / "log").exists() == (code == 0)


def test_what_is_required_is_asked_for(record: Call) -> None:
    done = record("transfer", "--bytes", "1")
    assert done.returncode == 2
    assert "--medium" in done.stderr


def test_a_record_that_the_topics_do_not_take_is_refused_where_it_is_written(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> None:
    environment = {**machine.environment(state), "WATTLAKE_KAFKA_SPOOL_DIR": str(tmp_path / "spool"), "WATTLAKE_KAFKA_MAX_RECORD_BYTES": "150000"}
    texts = [text for option in ("--job", "--model", "--dataset") for text in (option, "x" * 60_000)]
    sites = ["--from-site", "a", "--to-site", "b"]
    done = subprocess.run([wattlake, "record", "transfer", "--bytes", "1", "--medium", "wan", *sites, *texts, "--log", "kafka:127.0.0.1:1"],
                          env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "is over the limit of 150000" in done.stderr
    assert "raise kafka.max_record_bytes" in done.stderr
