"""The page on other writers: its program is run against a real Kafka, and what it wrote is in the lake."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lakes import rows, run
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka


def test_the_program_of_the_page_tells_of_a_job_an_hour_and_requests(own_kafka: Callable[..., Kafka], root: Path, tmp_path: Path) -> None:
    topics = Topics(own_kafka().address, "wattlake.")
    [program] = re.findall(r"^```python\n(.*?)^```$", (root / "docs/other-writers.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", program], env={"BROKER": topics.log.servers[0]}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    run(tmp_path / "lake", topics.source())
    assert rows(tmp_path / "lake", "FROM lake.rejects") == []
    assert rows(tmp_path / "lake", "SELECT job, model, phase FROM lake.raw_jobs") == [("train-7", "bert", "train")]
    assert rows(tmp_path / "lake", "SELECT zone, direct_g_per_kwh FROM lake.ref_grid WHERE zone = 'DE' AND source = 'example'") == [("DE", 312.5)]
    assert rows(tmp_path / "lake", "SELECT requests, tokens_out FROM lake.raw_serving") == [(10, 900)]
