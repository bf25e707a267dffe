"""SCI arithmetic (M = TE x TiR/EL x RR/ToR) against recorded runs of the Impact Framework.

sci-embodied takes TE from its own constants, whatever else its inputs say: a server without any extras
is 1,000,000 g over 126,144,000 s (4 years), and each disk adds 100,000 g. Its scenario-2 is no valid
vector (memory is scaled by 1,000).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
import yaml

from wattlake_pipelines.account.kernels.embodied import embodied_facts

HOUR, DAY = 3_600_000, 86_400_000
UG = 1_000_000
SERVER_G, DISK_G, LIFE_YEARS = 1_000_000, 100_000, 4.0
DATED = pa.timestamp("ms", "UTC")


def embodied_ug(total_g: float, life_years: float, start_ms: int, reserved_ms: int, share_ppm: int = 1_000_000) -> int:
    """What the kernel gives a job on an item that is new at the start of the job's day."""
    day = start_ms // DAY * DAY
    items = pa.table({
        "node": ["n"], "device": pa.nulls(1, pa.string()), "sku": ["server"], "machine_sku": ["server"], "acquired_on_ms": [day],
        "retired_on_ms": pa.nulls(1, pa.int64()), "valid_from_ms": pa.nulls(1, pa.int64()), "valid_to_ms": pa.nulls(1, pa.int64()),
        "embodied_ug": [round(total_g * UG)], "life_years": [life_years], "version": ["v"], "estimated": [False],
        "component_of": pa.nulls(1, pa.string()), "simulated": [False],
    })
    jobs = pa.table({"job": ["j"], "node": ["n"], "device": pa.nulls(1, pa.string()), "start_ms": [start_ms],
                     "end_ms": [start_ms + reserved_ms], "share_ppm": [share_ppm]})
    rows = embodied_facts(items, jobs, np.array([day]), day + DAY).to_pylist()
    (row,) = (r for r in rows if r["job"] == "j")
    return row["embodied_ug"]


def vector(shared_data, name):
    return yaml.safe_load((shared_data / "sci_vectors" / "builtins" / "sci-embodied" / name).read_text(encoding="utf-8"))["tree"]


def epoch_ms(timestamp: str) -> int:
    return pa.scalar(f"{timestamp}:00Z").cast(DATED).value


@pytest.mark.parametrize("name", ["success.yaml", "scenario-1.yaml"])
def test_an_hour_on_a_server_costs_what_the_recorded_run_says(shared_data, name):
    outputs = vector(shared_data, name)["children"]["child"]["outputs"]
    assert outputs
    for output in outputs:
        total_g = SERVER_G + output["hdd"] * DISK_G
        ours = embodied_ug(total_g, LIFE_YEARS, epoch_ms(output["timestamp"]), output["duration"] * 1_000)
        # each edge of a cell is rounded to a whole µg, so a difference of two is off by less than one
        assert abs(ours - output["embodied-carbon"] * UG) < 1


def test_the_hours_of_a_run_add_up_to_its_aggregate(shared_data):
    tree = vector(shared_data, "scenario-1.yaml")
    outputs = tree["children"]["child"]["outputs"]
    ours = sum(embodied_ug(SERVER_G + o["hdd"] * DISK_G, LIFE_YEARS, epoch_ms(o["timestamp"]), o["duration"] * 1_000) for o in outputs)
    assert abs(ours - tree["aggregated"]["embodied-carbon"] * UG) < 2


def test_a_share_of_the_resources_scales_the_reserved_time(shared_data):
    """The inputs of the recorded run, put into the formula of the specification with RR/ToR = 1/8."""
    given = vector(shared_data, "success.yaml")["children"]["child"]["defaults"]
    life_s, reserved_s = given["device/expected-lifespan"], given["time-reserved"]
    ratio = Fraction(given["resources-reserved"], given["resources-total"])
    expected = Fraction(str(given["device/emissions-embodied"])) * reserved_s / life_s * ratio * UG
    ours = embodied_ug(given["device/emissions-embodied"], life_s / (365 * 86_400), 0, reserved_s * 1_000, int(ratio * 1_000_000))
    assert abs(ours - expected) < 1
