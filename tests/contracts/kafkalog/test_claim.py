"""Who ships a spool."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.kafkalog.claim import claim, shipped


def test_a_spool_is_shipped_for_as_long_as_its_lock_is_held(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    assert shipped(spool) is False
    held = claim(spool)
    assert shipped(spool) is True
    with pytest.raises(WattlakeError, match="another process ships"):
        claim(spool)
    os.close(held)
    assert shipped(spool) is False


def test_one_that_asks_who_ships_keeps_no_agent_from_starting(tmp_path: Path) -> None:
    os.close(claim(tmp_path))
    over, asked_once = threading.Event(), threading.Event()
    answers: Counter[bool] = Counter()

    def ask() -> None:
        while not over.is_set():
            answers[shipped(tmp_path)] += 1
            asked_once.set()

    asking = threading.Thread(target=ask)
    asking.start()
    claimed = 0
    try:
        assert asked_once.wait(30)
        deadline = time.monotonic() + 30
        # until it has been asked between two claims and while one is held, many times
        while (claimed < 100 or min(answers[True], answers[False]) < 5) and time.monotonic() < deadline:
            held = claim(tmp_path)
            claimed += 1
            time.sleep(0)
            os.close(held)
    finally:
        over.set()
        asking.join()
    assert claimed >= 100
    assert min(answers[True], answers[False]) >= 5, answers
