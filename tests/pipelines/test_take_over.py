"""`--take-over`: a run that is frozen is shut out by the next one, and can write nothing more when it wakes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from lakes import rows
from logs import Log

T0 = 1_760_000_000_000
WATTLAKE = str(Path(sys.executable).with_name("wattlake"))


def test_a_frozen_follower_is_named_and_then_shut_out(tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"

    def reading(i: int) -> None:
        log.put("readings", [{"node": "n1", "device": "gpu0", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}], node="n1")

    command = [WATTLAKE, "run", "--log", f"file:{log.root}", "--lake", str(lake)]
    reading(0)
    with (tmp_path / "said").open("w") as said, subprocess.Popen([*command, "--follow", "--every", "0.5"], stdout=said, stderr=said) as follower:
        try:
            deadline = time.monotonic() + 90
            while "1 row of 1 record" not in (tmp_path / "said").read_text():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            follower.send_signal(signal.SIGSTOP)
            reading(1)
            refused = subprocess.run(command, capture_output=True, text=True, timeout=120)
            assert refused.returncode == 1
            assert str(follower.pid) in refused.stderr
            assert "--take-over" in refused.stderr
            taken = subprocess.run([*command, "--take-over"], capture_output=True, text=True, timeout=120)
            assert taken.returncode == 0, taken.stderr
            reading(2)
            follower.send_signal(signal.SIGCONT)
            assert follower.wait(60) == 1, "the one that woke ends"
        finally:
            follower.kill()
    assert "taken over" in (tmp_path / "said").read_text()
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    assert rows(lake, "SELECT count(*), sum(energy_mj)::BIGINT FROM lake.raw_readings") == [(3, 15_000)]
