"""The whole demo, as a user runs it."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def ask(wattlake: Path, out: Path, query: str) -> list[dict[str, Any]]:
    done = subprocess.run([wattlake, "sql", "--config", out / "wattlake.toml", "--format", "csv", query], capture_output=True, text=True,
                          check=True, timeout=120)
    return list(csv.DictReader(done.stdout.splitlines()))


def left_running(out: Path) -> list[str]:
    """Processes whose environment names this demo's configuration."""
    wanted, found = f"WATTLAKE_CONFIG={out / 'wattlake.toml'}".encode(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return found


@pytest.mark.timeout(1200)
def test_the_demo_ends_with_a_report_of_all_that_happened_and_can_be_repeated(wattlake: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    for _ in range(2):
        done = subprocess.run([wattlake, "demo", "--out", out, "--zone", "FR"], capture_output=True, text=True, timeout=500, cwd=tmp_path,
                              check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == str(out / "report.html")
        assert "not this machine's own" in done.stderr
        assert "IEA" in done.stderr
        assert left_running(out) == []

    written, landed, others = (int(number.replace(",", "")) for number in re.findall(
        r"([0-9,]+) rows written, .*?([0-9,]+) rows landed \(the agent's, and ([0-9,]+) of jobs, requests, transfers and sites\)", done.stderr, re.DOTALL)[0])
    assert landed == written + others
    # the agent may also have renewed jobs
    read = ask(wattlake, out, "SELECT (SELECT count(*) FROM raw_readings) + (SELECT count(*) FROM raw_nodes) AS n")[0]
    assert int(read["n"]) <= written < landed

    jobs = {row["job"]: row for row in ask(wattlake, out, "SELECT f.*, d.base_model, d.quality_value, d.tokens FROM footprint_by_job f "
                                                          "LEFT JOIN dim_jobs d USING (job)")}
    assert {name: row["status"] for name, row in jobs.items() if name.startswith("demo-")} == {
        "demo-data": "ok", "demo-experiment-1": "ok", "demo-experiment-2": "ok", "demo-experiment-3": "failed", "demo-train": "ok",
        "demo-finetune": "ok", "demo-serve": "ok"}
    assert all(float(row["energy_kwh"]) > 0 for row in jobs.values())
    assert jobs["demo-finetune"]["base_model"] == jobs["demo-train"]["model"] == "tiny-text"
    assert float(jobs["demo-train"]["quality_value"]) < 3
    assert int(jobs["demo-train"]["tokens"]) > 0

    served = ask(wattlake, out, "SELECT requests, tokens_in, tokens_out FROM inference")[0]
    asked = (out / "work" / "asked.json").read_text()
    assert {f'"{name}": {count}' for name, count in served.items()} == set(asked.strip("{}").split(", "))
    moved = ask(wattlake, out, "SELECT CAST(moved_gb * 1e9 AS BIGINT) AS bytes, transfers FROM data_movement")
    assert [(row["transfers"], row["bytes"]) for row in moved] == [("1", (out / "work" / "moved.json").read_text().split()[1].rstrip(","))]
    # the agent speaks for itself: its energy is what the sensors said, and adds up
    assert all(row["estimated"] in ("true", "True") for row in ask(wattlake, out, "SELECT DISTINCT estimated FROM fact_emissions"))
    assert ask(wattlake, out, "SELECT count(*) AS n FROM rejects")[0]["n"] == "0"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_however_it_is_stopped_nothing_goes_on(wattlake: Path, tmp_path: Path, number: int) -> None:
    out = tmp_path / "demo"
    with subprocess.Popen([wattlake, "demo", "--out", out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path) as demo:
        until = time.monotonic() + 60
        while not (out / "logs" / "05-experiments.log").exists() and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(0.5)
        assert len(left_running(out)) >= 2
        demo.send_signal(number)
    assert demo.returncode != 0
    until = time.monotonic() + 15
    while left_running(out) and time.monotonic() < until:
        time.sleep(0.1)
    assert left_running(out) == []
