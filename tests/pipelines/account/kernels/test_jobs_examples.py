"""Job records and the dimensions: worked examples of docs/accounting.md, section 4."""

from __future__ import annotations

import itertools

import pyarrow as pa

from wattlake_contracts.kinds import JOBS, NODES
from wattlake_contracts.tables import DIM_DEVICES, DIM_JOBS, DIM_MODELS, DIM_NODES
from wattlake_pipelines.account.kernels.dimensions import device_dimension, model_dimension, node_dimension
from wattlake_pipelines.account.kernels.jobs import job_dimension, resolve_jobs
from wattlake_pipelines.arrow_schema import kind_schema, table_schema

LEASE = 900


def event(job="j", node="n", start=1_000, end=None, at=1_000, **more):
    return {"job": job, "node": node, "start_ms": start, "end_ms": end, "event_ms": at, "lease_ms": LEASE, "simulated": False, **more}


def inventory(node="n", at=1, **more):
    return {"node": node, "event": "inventory", "event_ms": at, "simulated": False, **more}


def events(*rows):
    return pa.Table.from_pylist(list(rows), kind_schema(JOBS))


def nodes(*rows):
    return pa.Table.from_pylist(list(rows), kind_schema(NODES))


def test_an_open_job_ends_at_its_last_renewal_and_lease():
    assert resolve_jobs(events(event(at=1_000), event(at=5_000), event(at=3_000))).to_pylist() == [
        {"job": "j", "node": "n", "device": None, "start_ms": 1_000, "end_ms": 5_900, "share_ppm": 1_000_000, "open": True},
    ]


def test_a_stop_wins_over_a_later_renewal():
    record = resolve_jobs(events(event(end=2_000, at=2_000), event(at=9_000))).to_pylist()[0]
    assert (record["end_ms"], record["open"]) == (2_000, False)


def test_of_two_stops_the_later_event_wins():
    assert resolve_jobs(events(event(end=2_000, at=5), event(end=3_000, at=4))).to_pylist()[0]["end_ms"] == 2_000


def test_of_two_events_at_one_instant_the_greater_content_wins_whatever_their_order():
    one, other = event(end=2_000, share_ppm=100), event(end=2_000, share_ppm=200)
    assert resolve_jobs(events(one, other)).equals(resolve_jobs(events(other, one)))
    assert resolve_jobs(events(one, other)).to_pylist()[0]["share_ppm"] == 200


def test_an_open_job_never_ends_before_it_starts():
    assert resolve_jobs(events(event(start=10_000, at=1_000))).to_pylist()[0]["end_ms"] == 10_000


def test_nodes_devices_and_starts_are_records_of_their_own_in_order():
    rows = [event(node="m"), event(device="gpu1", share_ppm=5), event(device="gpu0"), event(), event(start=500)]
    records = resolve_jobs(events(*rows)).to_pylist()
    assert [(r["node"], r["device"], r["start_ms"], r["share_ppm"]) for r in records] == [
        ("m", None, 1_000, 1_000_000), ("n", None, 500, 1_000_000), ("n", None, 1_000, 1_000_000),
        ("n", "gpu0", 1_000, 1_000_000), ("n", "gpu1", 1_000, 5),
    ]


def test_a_job_takes_each_attribute_from_the_winning_event_that_gives_it():
    rows = [
        event(at=1, user="ann", team="red", model="m1"),
        event(at=2, end=4_000, user=None, team="blue", status="ok"),
        event(node="o", start=700, at=3, user="bob", team="green"),
    ]
    for order in itertools.permutations(rows):
        (job,) = job_dimension(events(*order)).to_pylist()
        # closed before open: blue; of the open ones the later: bob; model from the only one that says
        assert (job["user"], job["team"], job["model"], job["status"]) == ("bob", "blue", "m1", "ok")
        assert (job["start_ms"], job["end_ms"], job["nodes"], job["open"]) == (700, 4_000, 2, False)


def test_a_job_is_open_while_none_of_its_records_has_an_end():
    assert [j["open"] for j in job_dimension(events(event(), event(node="m"))).to_pylist()] == [True]


def test_models_come_from_the_job_that_ended_last_and_count_their_jobs():
    jobs = job_dimension(events(
        event("a", end=2_000, model="m", base_model="old", params=7), event("b", end=3_000, model="m", base_model="new"),
        event("c", end=9_000, model="k"), event("d"),
    ))
    assert model_dimension(jobs).to_pylist() == [
        {"model": "k", "base_model": None, "params": None, "jobs": 1}, {"model": "m", "base_model": "new", "params": 7, "jobs": 2},
    ]


def test_a_node_keeps_what_a_later_row_leaves_out_and_ignores_its_heartbeats():
    (node,) = node_dimension(nodes(
        inventory(at=1, site="hall-1", sku="dgx"), inventory(at=2, asset="A7"),
        {"node": "n", "event": "heartbeat", "event_ms": 9, "site": "nowhere", "simulated": False},
    )).to_pylist()
    assert (node["site"], node["sku"], node["asset"]) == ("hall-1", "dgx", "A7")


def test_of_rows_told_at_once_the_one_that_still_holds_then_the_one_valid_later_is_the_node_s_site():
    ended, now = inventory(site="z", valid_from_ms=50, valid_to_ms=90), inventory(site="a", valid_from_ms=10)
    assert node_dimension(nodes(ended, now)).to_pylist()[0]["site"] == "a"
    assert node_dimension(nodes(inventory(site="z", valid_from_ms=10), inventory(site="a", valid_from_ms=20))).to_pylist()[0]["site"] == "a"


def test_rows_about_devices_place_their_node_but_do_not_date_it():
    gpu = {"device": "gpu0", "device_sku": "h100", "parent": "psu", "max_power_mw": 700_000}
    rows = nodes(inventory(site="hall-1", sku="dgx", acquired_on_ms=5, **gpu))
    (node,) = node_dimension(rows).to_pylist()
    assert (node["site"], node["sku"], node["acquired_on_ms"]) == ("hall-1", "dgx", None)
    (device,) = device_dimension(rows).to_pylist()
    assert (device["device"], device["device_sku"], device["parent"], device["max_power_mw"]) == ("gpu0", "h100", "psu", 700_000)


def test_no_rows_make_empty_tables_of_the_declared_columns():
    assert job_dimension(events()).schema.equals(table_schema(DIM_JOBS))
    assert model_dimension(job_dimension(events())).schema.equals(table_schema(DIM_MODELS))
    assert node_dimension(nodes()).schema.equals(table_schema(DIM_NODES))
    assert device_dimension(nodes(inventory())).schema.equals(table_schema(DIM_DEVICES))
    assert device_dimension(nodes(inventory())).num_rows == 0
