"""Every command of docs/operating-kafka.md is run, in its order, against a real guarded Kafka where the page speaks of a cluster."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pages import ROOT, blocks

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


@pytest.mark.slow
def test_from_nothing_to_a_secured_set_of_topics(tmp_path: Path, environment: dict[str, str], guarded: Any) -> None:
    began = time.monotonic()
    (tmp_path / "ca.pem").write_bytes(guarded.ca_file.read_bytes())
    (tmp_path / "admin.password").touch(mode=0o600)
    (tmp_path / "admin.password").write_text(guarded.kafka.users["admin"] + "\n")
    for block in (b for b in blocks("toml") if b.page == PAGE):
        name = re.findall(r"`(\w+\.toml)`", block.before)[-1]
        # the last name before the agent's is that of its service's file
        (tmp_path / ("agent.toml" if name == "wattlake.toml" else name)).write_text(block.body.replace(BROKER, guarded.server))
    administrator, start, status, pipelines, *later, sign, add, forged, renew, end = scripts()[1:]

    made = run(administrator, tmp_path, environment)
    assert made.count("granted") == 28
    doctor, agent_run = start.strip().splitlines()
    assert agent_run == AGENT
    assert "failed" not in run(doctor, tmp_path, environment)
    look = "wattlake log tail --config pipelines.toml --topic readings --format json"

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(agent_run.split(), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)

    def wait_for(what: str) -> None:
        until = time.monotonic() + 60
        while what not in (shown := run(look, tmp_path, environment)):
            assert agent.poll() is None, agent.communicate()[1]
            assert time.monotonic() < until, shown
            time.sleep(0.5)

    agent = started()
    try:
        wait_for('"kind":"readings"')
        assert re.search(r"^state +healthy$", run(status, tmp_path, environment), re.MULTILINE)
        landed = run(pipelines, tmp_path, environment)
        assert re.search(r"cpu-package-0|gpu0", landed.splitlines()[-1]), landed
        for script in later:
            run(script, tmp_path, environment)
        assert "its public key is" in run(sign, tmp_path, environment)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(30) == 0, agent.communicate()[1]
        agent = started()
        keys = [(tmp_path / "signing.public").read_text().strip()]
        wait_for(f'"signed_with":"{keys[0]}"')
        assert keys[0] in run(add, tmp_path, environment)
        run(renew, tmp_path, environment)
        keys.append((tmp_path / "next.public").read_text().strip())
        wait_for(f'"signed_with":"{keys[1]}"')
        listed = run(end, tmp_path, environment)
        assert all(key in listed for key in keys)
        run("wattlake run --config pipelines.toml", tmp_path, environment)
        assert "has keys" not in run(forged, tmp_path, environment), "what the node has signed is no forgery"
    finally:
        agent.send_signal(signal.SIGTERM)
        said = agent.communicate(timeout=30)[1]
    assert agent.returncode == 0, said
    assert "Traceback" not in said
    assert time.monotonic() - began < 600, "ten minutes"


def test_the_page_names_what_the_tests_run() -> None:
    assert len(scripts()) == 14
    assert (ROOT / PAGE).read_text(encoding="utf-8").count(BROKER) == 3
