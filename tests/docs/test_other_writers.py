"""The page on other writers: its program is run against a real Kafka and a secured one, and what it wrote is in the lake."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from guarded import Guarded
from lakes import rows, run
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka

PLAIN = 'producer = KafkaProducer(bootstrap_servers=os.environ["BROKER"])\n'


def programs(root: Path) -> list[str]:
    """The page's program, and what stands in it for a secured cluster in place of the line PLAIN."""
    found = re.findall(r"^```python\n(.*?)^```$", (root / "docs/other-writers.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    assert PLAIN in found[0]
    return found


def written(program: str, topics: Topics, lake: Path, **variables: str) -> None:
    """Run the program, and find in a lake what it has told."""
    done = subprocess.run([sys.executable, "-c", program], env={"BROKER": topics.log.servers[0], **variables}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    run(lake, topics.source())
    assert rows(lake, "FROM lake.rejects") == []
    assert rows(lake, "SELECT job, model, phase FROM lake.raw_jobs") == [("train-7", "bert", "train")]
    assert rows(lake, "SELECT zone, direct_g_per_kwh FROM lake.ref_grid WHERE zone = 'DE' AND source = 'example'") == [("DE", 312.5)]
    assert rows(lake, "SELECT requests, tokens_out FROM lake.raw_serving") == [(10, 900)]


def test_the_program_of_the_page_tells_of_a_job_an_hour_and_requests(own_kafka: Callable[..., Kafka], root: Path, tmp_path: Path) -> None:
    written(programs(root)[0], Topics(own_kafka().address, "wattlake."), tmp_path / "lake")


def test_with_the_lines_for_a_secured_cluster_it_tells_the_same_there(guarded: Guarded, topic_prefix: str, root: Path, wattlake: Path, tmp_path: Path) -> None:
    topics = guarded.topics(topic_prefix)
    user = f"scheduler-{topic_prefix.removesuffix('.')}"
    password_file = guarded.password_file("a scheduler's own")
    page = (root / "docs/other-writers.md").read_text(encoding="utf-8").replace("\n", " ")
    [grant] = re.findall(r"`(wattlake log grant scheduler --may write [^`]+--password-file [^`]+)`", page)
    told = [{"scheduler": user, "scheduler.password": str(password_file)}.get(word, word) for word in grant.split()[1:]]
    done = subprocess.run([wattlake, *told, "--log", f"kafka:{guarded.server}"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **guarded.user(), "WATTLAKE_KAFKA_PREFIX": topic_prefix})
    assert done.returncode == 0, done.stderr
    program, secured = programs(root)
    # the topics of this test alone
    written(program.replace(PLAIN, secured).replace('"wattlake.', f'"{topic_prefix}'), topics, tmp_path / "lake", CA_FILE=str(guarded.ca_file),
            KAFKA_USER=user, KAFKA_PASSWORD_FILE=str(password_file))
