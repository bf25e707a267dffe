"""Readings of other programs, told in JSON."""

from __future__ import annotations

import json
from pathlib import Path

from lakes import dump, rows, run
from logs import payload
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import JSON, Meta

T0 = 1_760_000_000_000


def test_readings_told_in_json_land_as_those_in_arrow_do(tmp_path: Path) -> None:
    said = [[{"node": "n", "device": device, "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + 1000 * (2 * i + j), "energy_mj": 5000 * (2 * i + j)}
             for device in ("gpu0", "gpu1") for j in range(2)] for i in range(6)]
    for name, in_json in (("arrow", ()), ("mixed", (1, 3, 4)), ("json", range(6))):
        with LogWriter(tmp_path / name, "p") as writer:
            for number, told in enumerate(said):
                body, content_type = (json.dumps(told).encode(), JSON) if number in in_json else payload("readings", told)
                writer.append(Meta("readings", "n", "b", content_type=content_type), number, body, T0 + 1000 * (2 * number + 1))
            writer.sync()
        run(tmp_path / f"lake-{name}", tmp_path / name)
        assert rows(tmp_path / f"lake-{name}", "SELECT (SELECT count(*) FROM lake.raw_readings), (SELECT count(*) FROM lake.rejects)") == [(24, 0)]
    assert dump(tmp_path / "lake-mixed") == dump(tmp_path / "lake-arrow") == dump(tmp_path / "lake-json")
