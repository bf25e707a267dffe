"""Who ships a spool."""

from __future__ import annotations

import os
import threading
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
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            shipped(tmp_path)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(100):
            os.close(claim(tmp_path))
    finally:
        over.set()
        asking.join()
