"""What an element of work is given of its neighbours."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakes import run
from logs import Log
from wattlake_pipelines.account.context import find_context
from wattlake_pipelines.lake.committer import Committer

HOUR, DAY = 3_600_000, 86_400_000
T0 = 1_760_054_400_000 // DAY * DAY


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Three days of two devices, a reading every half hour; one of them is an outlier at an hour's edge."""
    log = Log(tmp_path / "log")
    for device in ("gpu0", "gpu1"):
        log.put("readings", [
            {"node": "n", "device": device, "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + i * HOUR // 2 + 1,
             "energy_mj": 10**9 if (device, i) == ("gpu0", 47) else i * 1000, "method": "counter", "boundary": "component", "simulated": False}
            for i in range(144)])
    run(tmp_path / "lake", log.root)
    return tmp_path / "lake"


def _wanted(*hours: int) -> pa.Table:
    at = [T0 + h * HOUR for h in hours]
    return pa.table({"node": ["n"] * len(at), "hour_ms": at, "part_ms": [a // DAY * DAY for a in at]})


def test_each_day_has_the_context_that_it_has_alone(lake: Path) -> None:
    with Committer(lake) as committer:
        days = [[5], [24, 26], [71]]
        together = find_context(committer.connection, _wanted(*(hour for hours in days for hour in hours)))
        for name in ("edges", "opened"):
            alone = pa.concat_tables([getattr(find_context(committer.connection, _wanted(*hours)), name) for hours in days])
            found = getattr(together, name)
            keys = [(n, "ascending") for n in found.column_names if n in ("part_ms", "node", "device", "ts_ms", "hour_ms")]
            assert found.num_rows > 0
            assert found.sort_by(keys).equals(alone.sort_by(keys))


def test_a_few_hours_to_each_side_are_given_and_no_more(lake: Path) -> None:
    with Committer(lake) as committer:
        edges = find_context(committer.connection, _wanted(10)).edges
    hours = {(ts - T0) // HOUR for ts in edges["ts_ms"].to_pylist()}
    assert hours == {6, 7, 8, 9, 11, 12, 13, 14}


def test_an_outlier_beside_an_hour_opens_its_hour_too(lake: Path) -> None:
    with Committer(lake) as committer:
        opened = find_context(committer.connection, _wanted(24)).opened
    assert [(ts - T0) // HOUR for ts in opened["hour_ms"].to_pylist()] == [23, 24]


def test_an_outlier_beside_hours_without_readings_of_its_own_device_opens_its_hour_too(tmp_path: Path) -> None:
    """gpu0 is read until hour 2, last by an outlier, and from hour 6 on; hour 4, in which another device is read, lies between."""
    log = Log(tmp_path / "log")
    for device, at in (("gpu0", ((0, 0), (121, 10), (122, 20), (150, 10**9), (360, 30), (361, 40), (362, 50))), ("gpu1", ((240, 0), (260, 9)))):
        log.put("readings", [
            {"node": "n", "device": device, "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + minute * 60_000, "energy_mj": mj, "method": "counter",
             "boundary": "component", "simulated": False} for minute, mj in at])
    run(tmp_path / "lake", log.root)
    with Committer(tmp_path / "lake") as committer:
        opened = find_context(committer.connection, _wanted(4)).opened
    assert [(ts - T0) // HOUR for ts in opened["hour_ms"].to_pylist()] == [2, 4]
