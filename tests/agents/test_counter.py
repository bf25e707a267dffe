"""Counters over wraps, restarts, reboots, false readings and clocks set back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattlake_agents import epochs
from wattlake_agents.counter import Accepted, Counter
from wattlake_agents.sensors.sensor import Device

WRAP = 262_143_328_851
HARDWARE = Device("cpu-package-0", "cpu", "zone-0", "counter", "rapl", max_power_mw=200_000, wrap_uj=WRAP)
PLAIN = replace(HARDWARE, name="gpu0", wrap_uj=None)
UNSTATED = replace(PLAIN, max_power_mw=None)
T = 1_700_000_000_000
J = 1_000_000


def fed(device: Device, *samples: tuple[int, int], kept: epochs.Life | None = None) -> tuple[list[Accepted], Counter]:
    """What is believed of (s after T, raw µJ)."""
    counter = Counter(device, kept)
    return [a for s, raw_uj in samples for a in counter.add(T + 1000 * s, raw_uj)], counter


def told(accepted: list[Accepted]) -> list[tuple[int, int, int]]:
    """(number of the epoch, s after T, µJ)."""
    names = list(dict.fromkeys(a.epoch for a in accepted))
    return [(names.index(a.epoch), (a.ts_ms - T) // 1000, a.total_uj) for a in accepted]


def energy_uj(accepted: list[Accepted]) -> int:
    """The energy that accounting makes of them: per epoch the rises, an outlier left out (docs/accounting.md, 1.2)."""
    return sum(b - a for epoch in {a.epoch for a in accepted} for a, b in pairwise(_in_line([a.total_uj for a in accepted if a.epoch == epoch])))


def _in_line(values: list[int]) -> list[int]:
    return [v for i, v in enumerate(values) if i in (0, len(values) - 1) or not values[i - 1] <= values[i + 1] or values[i - 1] <= v <= values[i + 1]]


@pytest.mark.parametrize("device", [HARDWARE, PLAIN, UNSTATED, replace(UNSTATED, wrap_uj=WRAP)])
def test_a_transient_zero_is_a_gap(device: Device) -> None:
    accepted, counter = fed(device, (0, 50_000 * J), (1, 50_100 * J), (2, 0), (3, 50_300 * J), (4, 50_400 * J))
    assert told(accepted) == [(0, 0, 50_000 * J), (0, 1, 50_100 * J), (0, 3, 50_300 * J), (0, 4, 50_400 * J)]
    assert counter.left_out == 1


@pytest.mark.parametrize("device", [HARDWARE, PLAIN, UNSTATED])
@pytest.mark.parametrize("false", [49_000 * J, 99_000 * J, 2**63 // 1000])
def test_a_value_far_too_low_or_high_once_is_a_gap(device: Device, false: int) -> None:
    accepted, counter = fed(device, (0, 50_000 * J), (1, 50_100 * J), (2, false), (3, 50_300 * J))
    assert told(accepted)[-1] == (0, 3, 50_300 * J)
    assert len(accepted) == 3
    assert counter.left_out == 1


def test_a_zero_just_below_the_range_is_no_wrap() -> None:
    accepted, _ = fed(HARDWARE, (0, WRAP - 300 * J), (1, 0), (2, WRAP - 100 * J))
    assert told(accepted) == [(0, 0, WRAP - 300 * J), (0, 2, WRAP - 100 * J)]


def test_a_wrap_is_resolved_and_no_reading_of_it_is_lost() -> None:
    accepted, counter = fed(HARDWARE, (0, WRAP - 1_001), (1, 999), (2, 2_000), (3, 3_000))
    assert told(accepted) == [(0, 0, WRAP - 1_001), (0, 1, WRAP + 999), (0, 2, WRAP + 2_000), (0, 3, WRAP + 3_000)]
    assert counter.left_out == 0


def test_a_zero_right_after_a_wrap_is_a_gap() -> None:
    accepted, _ = fed(HARDWARE, (0, WRAP - 100 * J), (1, 50 * J), (2, 0), (3, 250 * J))
    assert energy_uj(accepted) == 350 * J
    assert len({a.epoch for a in accepted}) == 1


def test_a_lasting_fall_begins_an_epoch_with_the_value_that_was_held_back() -> None:
    accepted, counter = fed(PLAIN, (0, 500 * J), (1, 700 * J), (2, 20 * J), (3, 30 * J), (4, 40 * J))
    assert told(accepted) == [(0, 0, 500 * J), (0, 1, 700 * J), (1, 2, 20 * J), (1, 3, 30 * J), (1, 4, 40 * J)]
    assert counter.left_out == 0


def test_a_lasting_fall_that_no_wrap_explains_begins_an_epoch() -> None:
    accepted, _ = fed(HARDWARE, (0, 50_000 * J), (1, J), (2, 2 * J))
    assert told(accepted) == [(0, 0, 50_000 * J), (1, 1, J), (1, 2, 2 * J)]


def test_a_leap_that_lasts_is_no_energy_either() -> None:
    accepted, _ = fed(PLAIN, (0, 0), (1, 50_300 * J), (2, 50_400 * J), (3, 50_500 * J))
    assert told(accepted) == [(0, 0, 0), (1, 1, 50_300 * J), (1, 2, 50_400 * J), (1, 3, 50_500 * J)]
    assert energy_uj(accepted) == 200 * J


@pytest.mark.parametrize("false", [0, 49_990 * J, 50_200 * J, 99_000 * J])
def test_a_false_value_at_the_very_start_is_no_energy(false: int) -> None:
    accepted, _ = fed(PLAIN, (0, false), *((s, (50_000 + 10 * s) * J) for s in range(1, 5)))
    assert energy_uj(accepted) == (50_040 * J - false if false == 49_990 * J else 30 * J)


@pytest.mark.parametrize("device", [PLAIN, UNSTATED])
def test_a_device_that_goes_on_drawing_more_than_it_states_is_believed(device: Device) -> None:
    accepted, counter = fed(device, *((s, 5_000 * J * s) for s in range(8)))
    assert energy_uj(accepted) == 35_000 * J
    assert [a.ts_ms for a in accepted] == [T + 1000 * s for s in range(8)]
    assert counter.left_out == 0


def test_a_value_a_little_too_high_is_set_right_by_those_after_it() -> None:
    accepted, _ = fed(PLAIN, (0, 1000 * J), (1, 1010 * J), (2, 1300 * J), (3, 1030 * J), (4, 1040 * J))
    assert told(accepted)[-2:] == [(0, 3, 1030 * J), (0, 4, 1040 * J)]
    assert energy_uj(accepted) == 40 * J


def test_a_pause_long_enough_for_two_wraps_begins_an_epoch() -> None:
    accepted, _ = fed(HARDWARE, (0, 1_000), (250, 2_000), (2_000, 3_000))
    assert told(accepted) == [(0, 0, 1_000), (0, 250, 2_000), (1, 2_000, 3_000)]


def test_a_clock_set_back_begins_an_epoch_and_a_small_slew_drops_the_reading() -> None:
    accepted, counter = fed(PLAIN, (0, 1), (1, 2), (-60, 3))
    assert told(accepted) == [(0, 0, 1), (0, 1, 2), (1, -60, 3)]
    assert counter.add(T - 60_000, 4) == []
    assert counter.add(T - 60_500, 4) == []


def test_over_a_restart_of_the_agent_a_hardware_counter_goes_on() -> None:
    before, counter = fed(HARDWARE, (0, WRAP - 200), (1, 50), (2, 60))
    kept = epochs.decode(epochs.encode({"cpu-package-0": counter.life()}, "boot-1"), "boot-1")  # type: ignore[dict-item]
    after, _ = fed(HARDWARE, (3, 150), kept=kept["cpu-package-0"])
    assert after == [Accepted(before[-1].epoch, T + 3000, before[-1].total_uj + 90, None)]


@pytest.mark.parametrize("down_s", [1, 3600])
@pytest.mark.parametrize(("held", "then", "energy"), [
    (0, (50_300, 50_400), 400),  # a false zero
    (90_000, (50_300, 50_400), 400),  # a false leap
    (20, (30, 45), 100 + 25),  # a restart of the counter: both lives count, from the held value on
])
def test_a_restart_of_the_agent_while_a_value_is_held_costs_no_energy(down_s: int, held: int, then: tuple[int, int], energy: int) -> None:
    before, counter = fed(PLAIN, (0, 50_000 * J), (1, 50_100 * J), (2, held * J))
    kept = epochs.decode(epochs.encode({"gpu0": counter.life()}, "boot-1"), "boot-1")  # type: ignore[dict-item]
    after, _ = fed(PLAIN, *((2 + down_s + i, raw * J) for i, raw in enumerate(then)), kept=kept["gpu0"])
    assert energy_uj(before + after) == energy * J


def test_after_a_reboot_everything_begins_anew() -> None:
    _, counter = fed(PLAIN, (0, 5))
    life = counter.life()
    assert life is not None
    assert epochs.decode(epochs.encode({"gpu0": life}, "boot-1"), "boot-2") == {}


def test_another_device_of_the_same_name_begins_an_epoch() -> None:
    before, counter = fed(PLAIN, (0, 5))
    after, _ = fed(replace(PLAIN, identity="GPU-other"), (1, 9), kept=counter.life())
    assert after[0].epoch != before[0].epoch


@pytest.mark.parametrize("method", ["integrated", "estimated"])
def test_a_sum_of_power_ends_with_the_agent(method: str) -> None:
    _, counter = fed(replace(PLAIN, method=method), (0, 5))
    assert counter.life() is None


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"boot_id": "b", "counters": {"x": 1}}',
                                 b'{"boot_id":"b","counters":{"gpu0":{"epoch":"e","identity":"i","raw_uj":1,"total_uj":1,"ts_ms":1}}}'])
def test_a_torn_file_or_one_of_another_version_only_means_new_epochs(raw: bytes) -> None:
    assert epochs.decode(raw, "b") == {}


@st.composite
def _histories(draw: st.DrawFn) -> tuple[list[int], list[int | None]]:
    """(true energy at each second in µJ, what is read there instead), a false reading never within two of another."""
    draws = draw(st.lists(st.integers(0, 250 * J), min_size=8, max_size=40))
    true = [draw(st.integers(0, 2 * WRAP))]
    for step in draws:
        true.append(true[-1] + step)
    false: list[int | None] = [None] * len(true)
    at = draw(st.integers(1, 4))
    while at < len(true) - 2:
        nearby = st.integers(true[at] - 400 * J, true[at] + 400 * J)
        false[at] = draw(st.one_of(st.just(0), st.integers(0, WRAP - 1), st.integers(0, 2**62), nearby))
        at += draw(st.integers(3, 8))
    return true, false


def _readings(device: Device, true: list[int], false: list[int | None]) -> Iterator[tuple[int, int]]:
    for s, (value, instead) in enumerate(zip(true, false, strict=True)):
        shown = value if device.wrap_uj is None else value % device.wrap_uj
        if instead is not None:
            shown = max(0, instead) if device.wrap_uj is None else instead % device.wrap_uj
        yield s, shown


@given(_histories(), st.sampled_from([HARDWARE, PLAIN, UNSTATED]), st.integers(0, 45))
def test_whatever_is_false_in_between_the_energy_is_the_true_one(history: tuple[list[int], list[int | None]], device: Device, restart: int) -> None:
    true, false = history
    accepted: list[Accepted] = []
    counter = Counter(device)
    bound_uj = (300 if device.max_power_mw else 1000) * 2 * J
    for s, raw_uj in _readings(device, true, false):
        if s == restart and (life := counter.life()) is not None:
            counter = Counter(device, epochs.decode(epochs.encode({"d": life}, "b"), "b")["d"])
        accepted += counter.add(T + 1000 * s, raw_uj)
        # a false value that the device might have reached stands until the next ones contradict it
        believable = bound_uj if any(instead is not None for instead in false[max(0, s - 2): s + 1]) else 0
        assert energy_uj(accepted) <= true[s] - true[0] + believable
    assert energy_uj(accepted) == true[-1] - true[0]
    assert accepted[-1].ts_ms == T + 1000 * (len(true) - 1)
