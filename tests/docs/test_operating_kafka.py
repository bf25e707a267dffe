"""Every command of docs/operating-kafka.md is run, in its order, from nothing: the secured cluster too is the one that the page makes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pages import ROOT, blocks
from wattlake_pipelines.dev.kafka import Kafka

PAGE = "docs/operating-kafka.md"
#: What the page calls the cluster.
BROKER = "broker-1.example:9093"
AGENT = "wattlake agent run --config agent.toml"


def scripts() -> list[str]:
    return [block.body for block in blocks("sh") if block.page == PAGE]


@pytest.fixture
def environment(tmp_path: Path, wattlake: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WATTLAKE_")}
    return {**clean, "PATH": f"{wattlake.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"),
            "XDG_RUNTIME_DIR": str(tmp_path / "run"), "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            # what the page does in a minute
            "WATTLAKE_AGENT_FLUSH_S": "1", "WATTLAKE_AGENT_INTERVAL_S": "0.2", "WATTLAKE_AGENT_METRICS": ""}


def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_what_is_tried_on_this_machine_gives_figures(tmp_path: Path, environment: dict[str, str]) -> None:
    said = run(scripts()[0], tmp_path, environment)
    assert "train" in said
    assert not (tmp_path / "try" / "kafka").exists()


def configurations() -> dict[str, str]:
    """The text of each of the page's files, by its name."""
    # the last name before the agent's is that of its service's file
    named = [(re.findall(r"`(\w+\.toml)`", block.before)[-1], block.body) for block in blocks("toml") if block.page == PAGE]
    return {"agent.toml" if name == "wattlake.toml" else name: body for name, body in named}


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Path]:
    """The folder that the page's secured Kafka is made in, by it; whatever runs there at the end is killed."""
    folder = tmp_path / "try" / "secured"
    yield folder
    if (folder / "kafka.json").is_file():
        for broker in Kafka(folder).brokers:
            broker.kill()


@pytest.mark.slow
def test_from_nothing_to_a_secured_set_of_topics(tmp_path: Path, environment: dict[str, str], secured: Path) -> None:
    began = time.monotonic()
    cluster, administrator, start, status, pipelines, *later, sign, add, forged, renew, end = scripts()[1:]
    folder, address = run(f"{cluster}\npwd; echo $WATTLAKE_LOG", tmp_path, environment).split()
    assert Path(folder) == secured
    environment = environment | {"WATTLAKE_LOG": address}
    files = configurations()
    shown, there = (tomllib.loads(text) for text in (files.pop("admin.toml"), (secured / "admin.toml").read_text()))
    assert there == {"log": address, "kafka": {**shown["kafka"], **{key: str(secured / shown["kafka"][key]) for key in ("password_file", "ca_file")}}}
    for name, body in files.items():
        (secured / name).write_text(body)

    made = run(administrator, secured, environment)
    assert made.count("granted") == 28
    doctor, agent_run = start.strip().splitlines()
    assert agent_run == AGENT
    assert "failed" not in run(doctor, secured, environment)
    look = "wattlake log tail --config pipelines.toml --topic readings --format json"

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(agent_run.split(), cwd=secured, env=environment, stderr=subprocess.PIPE, text=True)

    def wait_for(what: str) -> None:
        until = time.monotonic() + 60
        while what not in (shown := run(look, secured, environment)):
            assert agent.poll() is None, agent.communicate()[1]
            assert time.monotonic() < until, shown
            time.sleep(0.5)

    agent = started()
    try:
        wait_for('"kind":"readings"')
        assert re.search(r"^state +healthy$", run(status, secured, environment), re.MULTILINE)
        landed = run(pipelines, secured, environment)
        assert re.search(r"cpu-package-0|gpu0", landed.splitlines()[-1]), landed
        for script in later:
            run(script, secured, environment)
        assert "its public key is" in run(sign, secured, environment)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(30) == 0, agent.communicate()[1]
        agent = started()
        keys = [(secured / "signing.public").read_text().strip()]
        wait_for(f'"signed_with":"{keys[0]}"')
        assert keys[0] in run(add, secured, environment)
        run(renew, secured, environment)
        keys.append((secured / "next.public").read_text().strip())
        wait_for(f'"signed_with":"{keys[1]}"')
        listed = run(end, secured, environment)
        assert all(key in listed for key in keys)
        run("wattlake run --config pipelines.toml", secured, environment)
        assert "has keys" not in run(forged, secured, environment), "what the node has signed is no forgery"
    finally:
        agent.send_signal(signal.SIGTERM)
        said = agent.communicate(timeout=30)[1]
    assert agent.returncode == 0, said
    assert "Traceback" not in said
    [stop] = re.findall(r"`(wattlake dev kafka stop [^`]+)`", (ROOT / PAGE).read_text(encoding="utf-8"))
    run(stop, tmp_path, environment)
    assert not secured.exists()
    assert time.monotonic() - began < 600, "ten minutes"


def test_the_page_names_what_the_tests_run() -> None:
    assert len(scripts()) == 15
    assert (ROOT / PAGE).read_text(encoding="utf-8").count(BROKER) == 3
