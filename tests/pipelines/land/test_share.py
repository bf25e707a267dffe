"""How much of a round each partition of a log on Kafka gets, and how that is learned."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from wattlake_pipelines.land.share import RECORD_BYTES, Shares
from wattlake_pipelines.land.source import Measured

MIB = 2**20


class Where(NamedTuple):
    topic: str
    start: int
    end: int


def learned(*measured: tuple[str, int, int, int], shares: Shares | None = None) -> Shares:
    """(topic, records planned, records read, bytes) of each range."""
    shares = shares or Shares()
    shares.learn([Measured(Where(topic, 100, 100 + planned), 100 + read, size) for topic, planned, read, size in measured])
    return shares


def test_of_records_of_the_usual_size_a_round_takes_what_it_is_long_for() -> None:
    shares = Shares()
    assert shares.divide(MIB, [("readings", 10**6)]) == [16]
    assert shares.divide(MIB, [("nodes", 10**6)]) == [128]
    assert shares.divide(MIB, [("readings", 10), ("nodes", 20)]) == [10, 20], "all of it where there is room"
    assert shares.bounds(MIB, [("readings", 10)]) == [2 * MIB], "records that are larger than was thought do no harm where few wait"


def test_a_day_of_eight_machines_with_eight_gpus_each_is_one_round() -> None:
    shares, waiting = Shares(), [("jobs", 13_824), ("nodes", 48), ("readings", 11_520), ("reference", 288)]
    assert shares.divide(1024 * MIB, waiting) == [count for _, count in waiting]
    jobs, _, readings, _ = shares.bounds(1024 * MIB, waiting)
    assert readings > 11_520 * 71_596
    assert jobs > 13_824 * 8 * 800


def test_no_partition_holds_up_the_others_and_what_one_does_not_need_they_have() -> None:
    assert Shares().divide(MIB, [("jobs", 10**6), ("nodes", 8), ("readings", 10**6), ("usage", 0)]) == [60, 8, 7, 0]


def test_where_a_record_is_larger_than_a_share_one_has_its_turn_in_each_round() -> None:
    shares = learned(("jobs", 10, 10, 10 * 4 * MIB))
    waiting = [("jobs", 5), ("readings", 10**6), ("jobs", 5), ("jobs", 0)]
    rounds = [shares.divide(MIB, waiting) for _ in range(4)]
    assert [(jobs, others) for jobs, _, others, _ in rounds] == [(1, 0), (0, 1), (1, 0), (0, 1)]
    assert {readings for _, readings, _, _ in rounds} == {8}, "half of the round"
    assert shares.divide(1, [("jobs", 3)]) == [1]
    many = [shares.divide(20 * MIB, [("jobs", 9)] * 6 + [("readings", 10)]) for _ in range(3)]
    assert [sum(one[:6]) for one in many] == [4, 4, 4], "as many as there is room for"
    assert [sum(each) for each in zip(*many, strict=True)] == [2] * 6 + [30]


def test_the_size_of_records_is_learned_and_smaller_ones_are_believed_in_by_and_by() -> None:
    shares = learned(("jobs", 100, 100, 100 * MIB), ("nodes", 5, 5, 10))
    assert [shares.record_bytes(topic) for topic in ("jobs", "nodes", "transfers")] == [MIB, RECORD_BYTES, RECORD_BYTES]
    sizes = [learned(("jobs", 9, 9, 9 * 20_000), shares=shares).record_bytes("jobs") for _ in range(7)]
    assert sizes == [MIB // 2, MIB // 4, MIB // 8, MIB // 16, MIB // 32, 20_000, 20_000]


def test_what_was_too_much_is_planned_for_at_least_twice_as_carefully() -> None:
    shares = learned(("jobs", 100, 3, 3 * MIB), ("jobs", 100, 100, 10))
    assert shares.record_bytes("jobs") == MIB
    assert learned(("jobs", 100, 50, 50), shares=shares).record_bytes("jobs") == 2 * MIB


@given(max_bytes=st.integers(1, 10**10), waiting=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10**6)), max_size=12),
       sizes=st.tuples(*[st.integers(1, 10**9)] * 3))
def test_a_round_takes_something_where_something_waits_and_is_about_as_large_as_it_should_be(max_bytes: int, waiting: list[tuple[str, int]],
                                                                                             sizes: tuple[int, int, int]) -> None:
    shares = learned(*((topic, 1, 1, size) for topic, size in zip("abc", sizes, strict=True)))
    taken = shares.divide(max_bytes, waiting)
    assert all(0 <= part <= count for part, (_, count) in zip(taken, waiting, strict=True))
    assert any(taken) == any(count for _, count in waiting)
    given_out = [part * shares.record_bytes(topic) for part, (topic, _) in zip(taken, waiting, strict=True)]
    assert sum(given_out) - max(given_out, default=0) <= 1.5 * max_bytes
    bounds = shares.bounds(max_bytes, [(topic, part) for part, (topic, _) in zip(taken, waiting, strict=True)])
    assert all(bound >= size for bound, size in zip(bounds, given_out, strict=True)), "what is as large as was thought fits"
    assert sum(bound for bound, size in zip(bounds, given_out, strict=True) if size) <= max(max_bytes, sum(given_out)) + max_bytes


#: (records, KiB of each), one after the other, of each topic's backlog.
Backlog = dict[str, list[tuple[int, int]]]
runs = st.lists(st.tuples(st.integers(1, 3000), st.sampled_from([1, 4, 16, 32, 64, 128, 512])), max_size=3)
#: One topic is thought too small of while another recovers from that, in turn.
IN_TURN: Backlog = {"jobs": [(800, 4), (1300, 1), (2400, 4)], "serving": [(1500, 32), (300, 32), (400, 16)],
                    "transfers": [(2400, 4), (300, 1), (1100, 128)], "nodes": [(500, 64), (400, 1), (900, 128)]}


@settings(deadline=None, max_examples=60)
@example(backlog=IN_TURN)
@given(backlog=st.fixed_dictionaries(dict.fromkeys(IN_TURN, runs)))
def test_planning_anew_comes_to_an_end_whatever_the_records_are(backlog: Backlog) -> None:
    sizes = {topic: [kib * 1024 for count, kib in found for _ in range(count)] for topic, found in backlog.items()}
    shares, landed, in_vain = Shares(), dict.fromkeys(sizes, 0), 0
    while any(landed[topic] < len(found) for topic, found in sizes.items()):
        waiting = [(topic, len(found) - landed[topic]) for topic, found in sizes.items()]
        ranges = [Where(topic, landed[topic], landed[topic] + count)
                  for (topic, _), count in zip(waiting, shares.divide(64 * MIB, waiting), strict=True) if count]
        bounds = shares.bounds(64 * MIB, [(one.topic, one.end - one.start) for one in ranges])
        read = [_read(one, bound, sizes[one.topic]) for one, bound in zip(ranges, bounds, strict=True)]
        shares.learn(read)
        if any(one.reached < one.where.end for one in read):
            in_vain += 1
            assert in_vain < 50
            continue
        in_vain = 0
        landed |= {one.topic: one.end for one in ranges}


def _read(where: Where, bound_bytes: int, sizes: list[int]) -> Measured:
    """As a worker reads a range: until it weighs more than its bound."""
    weight, reached = 0, where.start
    while reached < where.end and weight <= bound_bytes:
        weight, reached = weight + sizes[reached], reached + 1
    return Measured(where, reached, weight)
