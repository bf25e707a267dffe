"""An hour of requests to a code model (Azure LLM inference trace 2023): counted, and joined to energy."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

REQUESTS, TOKENS_IN, TOKENS_OUT = 8_819, 18_059_974, 245_896
JOB, MODEL, NODE = "code-service", "code-model", "gpu-node"
WATTS = 5_200
FIRST = datetime(2023, 11, 16, 18, tzinfo=UTC)
LAST = datetime(2023, 11, 16, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def served(module_world: Any, shared_data: Path) -> Any:
    """The trace as cumulative counters, read at each request, and a service that holds a node for two hours."""
    with (shared_data / "llm_requests" / "AzureLLMInferenceTrace_code.csv").open(encoding="utf-8") as file:
        trace = sorted((r["TIMESTAMP"], int(r["ContextTokens"]), int(r["GeneratedTokens"])) for r in csv.DictReader(file))
    assert len(trace) == REQUESTS
    tokens_in, tokens_out = (list(accumulate(r[i] for r in trace)) for i in (1, 2))
    rows = [(FIRST.isoformat(), 0, 0, 0), *(
        # the trace gives no zone; it is UTC
        (f"{at.replace(' ', 'T')}Z", n, tokens_in[n - 1], tokens_out[n - 1]) for n, (at, _, _) in enumerate(trace, 1))]
    module_world.load("serving", ("model", "ts", "epoch", "requests", "tokens_in", "tokens_out", "job", "node"),
                      [(MODEL, ts, "1", n, read, written, JOB, NODE) for ts, n, read, written in rows])
    module_world.load("readings", ("node", "device", "ts", "power_w", "device_kind", "boundary"),
                      [(NODE, "wall", round(FIRST.timestamp() * 1000) + 60_000 * i, WATTS, "node", "node_ac") for i in range(121)])
    module_world.load("jobs", ("job", "node", "start", "end", "model", "phase"),
                      [(JOB, NODE, FIRST.isoformat(), LAST.isoformat(), MODEL, "inference")])
    module_world.load("nodes", ("node", "site"), [(NODE, "hall")])
    module_world.load("sites", ("site", "zone", "pue"), [("hall", "Z", "1.2")])
    module_world.load("grid", ("zone", "start", "end", "direct_g_per_kwh"), [("Z", "2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z", 100)])
    module_world.account()
    return module_world


def test_no_request_and_no_token_is_lost_or_doubled(served: Any) -> None:
    [row] = served.sql("""
        SELECT sum(requests)::BIGINT AS requests, sum(tokens_in)::BIGINT AS tokens_in, sum(tokens_out)::BIGINT AS tokens_out,
               count(*)::BIGINT AS hours FROM fact_serving""")
    assert (row["requests"], row["tokens_in"], row["tokens_out"]) == (REQUESTS, TOKENS_IN, TOKENS_OUT)
    assert row["hours"] == 2  # it runs from 18:17 to 19:14


def test_the_inference_mart_gives_energy_and_grams_per_request_and_token(served: Any) -> None:
    [row] = served.sql("FROM inference")
    kwh = WATTS * 2 / 1000
    grams = kwh * 1.2 * 100
    assert (row["model"], row["jobs"], row["requests"]) == (MODEL, 1, REQUESTS)
    assert row["energy_kwh"] == pytest.approx(kwh, rel=1e-9)
    assert row["energy_wh_per_request"] == pytest.approx(kwh * 1000 / REQUESTS, rel=1e-9)
    assert row["location_g_per_request"] == pytest.approx(grams / REQUESTS, rel=1e-9)
    assert row["energy_wh_per_1000_tokens"] == pytest.approx(kwh * 1e6 / (TOKENS_IN + TOKENS_OUT), rel=1e-9)
    assert row["location_g_per_1000_tokens"] == pytest.approx(grams * 1000 / (TOKENS_IN + TOKENS_OUT), rel=1e-9)


@pytest.mark.slow
def test_the_same_file_imported_again_counts_once(served: Any) -> None:
    before = served.sql("FROM fact_serving ORDER BY ALL")
    for file in sorted(served.folder.glob("serving-*.csv")):
        assert served.try_import("serving", file).returncode == 0
    served.account()
    assert served.sql("FROM fact_serving ORDER BY ALL") == before
