"""`wattlake sql` as its user meets it."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wattlake_warehouse.marts import NAMES

COMMAND = [sys.executable, "-c", "from wattlake_agents.command import main; main()"]


def run(*args: str, stdin: str = "", lake: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    more = ["--lake", str(lake)] if lake else []
    return subprocess.run([*COMMAND, "sql", *args, *more], input=stdin, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


def test_json_is_an_array_of_objects_on_stdout(lake: Path) -> None:
    done = run("SELECT model, energy_kwh, simulated FROM footprint_by_model ORDER BY model LIMIT 1", "--format", "json", lake=lake)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"model": "(none)", "energy_kwh": 1.4115005325, "simulated": False}]
    assert done.stderr == ""


def test_csv_has_a_header_and_comes_from_standard_input(lake: Path) -> None:
    done = run("--format", "csv", stdin="SELECT job, status FROM dim_jobs WHERE status = 'failed'", lake=lake)
    assert list(csv.reader(io.StringIO(done.stdout))) == [["job", "status"], ["sweep-1", "failed"]]


def test_a_table_cut_at_the_limit_says_so_on_stderr(lake: Path, tmp_path: Path) -> None:
    question = tmp_path / "question.sql"
    question.write_text("SELECT node FROM fact_energy ORDER BY node;\n")
    done = run("--file", str(question), "--limit", "2", lake=lake)
    assert done.stdout.splitlines() == ["node", "----", "a1", "a1"]
    assert "cut at 2 rows" in done.stderr
    assert done.returncode == 0  # as many as were asked for


def test_a_result_cut_unasked_is_incomplete(lake: Path) -> None:
    done = run("SELECT range FROM range(10001)", "--format", "csv", lake=lake)
    assert len(done.stdout.splitlines()) == 10_001
    assert "cut at 10,000 rows" in done.stderr
    assert done.returncode == 4


def test_a_reader_that_has_enough_is_no_error(lake: Path) -> None:
    question = "SELECT repeat('x', 100) FROM range(10000)"
    asked = subprocess.Popen([*COMMAND, "sql", question, "--lake", lake], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert asked.stdout is not None
    assert asked.stderr is not None
    assert asked.stdout.readline()
    asked.stdout.close()
    assert asked.stderr.read() == ""
    assert asked.wait(60) == 141


def test_control_characters_cannot_command_the_terminal(lake: Path) -> None:
    done = run("SELECT chr(27) || '[2J' AS a, 'x' || chr(10) || 'y' AS b", lake=lake)
    assert "\x1b" not in done.stdout
    assert r"\x1b[2J" in done.stdout
    assert r"x\ny" in done.stdout


def test_a_path_in_the_place_of_a_table_is_told_to_be_out_of_reach(lake: Path) -> None:
    done = run("FROM '/etc/passwd'", lake=lake)
    assert done.returncode == 1
    assert "files are out of reach" in done.stderr
    assert "pg_" not in done.stderr


def test_a_wide_result_on_a_terminal_comes_row_by_row_with_a_hint(lake: Path) -> None:
    parent, child = pty.openpty()
    done = subprocess.run([*COMMAND, "sql", "FROM footprint_by_job WHERE job = 'train-1'", "--lake", str(lake)], stdin=subprocess.DEVNULL, stdout=child,
                          stderr=subprocess.PIPE, text=True, timeout=120, env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"})
    os.close(child)
    printed = ""
    while select.select([parent], [], [], 1)[0]:
        try:
            printed += os.read(parent, 65536).decode()
        except OSError:  # all is read, and the other end is closed
            break
    os.close(parent)
    assert done.returncode == 0, done.stderr
    assert printed.splitlines()[0] == "-- 1 --"
    assert "model                         llama-mini" in printed
    assert "too wide for the terminal as a table" in done.stderr


def test_what_is_not_allowed_exits_2_and_what_fails_1(lake: Path, tmp_path: Path) -> None:
    refused = run("DROP TABLE lake.fact_energy", lake=lake)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "DROP is not allowed" in refused.stderr
    assert "next:" in refused.stderr
    failed = run("SELECT nothing FROM fact_energy", lake=lake)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert '"nothing" not found' in failed.stderr
    nowhere = run("SELECT 1", lake=tmp_path)
    assert nowhere.returncode == 1
    assert "no lake there yet" in nowhere.stderr


def test_a_statement_and_a_file_at_once_is_a_usage_error(tmp_path: Path) -> None:
    assert run("SELECT 1", "--file", str(tmp_path / "x")).returncode == 2
    missing = run("--file", str(tmp_path / "x"))
    assert missing.returncode == 2
    assert str(tmp_path / "x") in missing.stderr


def test_marts_lists_every_mart_without_a_lake() -> None:
    done = run("--marts", "--format", "json")
    assert [row["name"] for row in json.loads(done.stdout) if row["kind"] == "mart"] == list(NAMES)


def test_debug_says_what_the_sandbox_is_made_of(lake: Path) -> None:
    done = run("SELECT 1", lake=lake, WATTLAKE_DEBUG="1")
    assert "sandbox: landlock" in done.stderr


def test_an_explained_plan_keeps_its_lines(lake: Path) -> None:
    done = run("EXPLAIN SELECT count(*) FROM fact_energy", lake=lake)
    assert len(done.stdout.splitlines()) > 5


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_prompt_asks_answers_survives_mistakes_and_remembers(lake: Path, tmp_path: Path) -> None:
    parent, child = pty.openpty()
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "TERM": "dumb", "NO_COLOR": "1"}
    process = subprocess.Popen([*COMMAND, "sql", "--lake", str(lake)], stdin=child, stdout=child, stderr=child, env=environment, start_new_session=True)
    os.close(child)
    seen = ""

    def until(text: str) -> None:
        nonlocal seen
        deadline = time.monotonic() + 60
        while text not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([parent], [], [], 1)[0]:
                seen += os.read(parent, 65536).decode()
        seen = seen.partition(text)[2]

    def type_in(text: str) -> None:
        os.write(parent, text.encode())

    try:
        until("wattlake> ")
        type_in("\\marts\n")
        until("footprint_by_model")
        until("wattlake> ")
        type_in("\\d inference\n")
        until("energy_wh_per_request")
        until("wattlake> ")
        type_in("SELECT count(*) AS rows\n")
        until("...> ")
        type_in("FROM fact_energy;\n")
        until("492")
        until("wattlake> ")
        type_in("DELETE FROM fact_energy;\n")
        until("DELETE is not allowed")
        until("wattlake> ")
        type_in("\\q\n")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(parent)
    history = tmp_path / "wattlake" / "sql_history"
    assert "FROM fact_energy;" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
