"""Numbers as people read them."""

from __future__ import annotations

import pytest

from wattlake_warehouse.report.quantities import DATA, DURATION, ENERGY, MASS, UNKNOWN, VOLUME, digits, share


@pytest.mark.parametrize(("kwh", "shown"), [
    (0, "0 kWh"), (0.00000000012, "0.432 mJ"), (0.0000012, "4.32 J"), (0.000999, "3,600 J"), (0.00123, "1.23 Wh"), (0.9994, "999 Wh"),
    (0.9996, "1.00 kWh"), (12.345, "12.3 kWh"), (999.4, "999 kWh"),
    (999.7, "1.00 MWh"), (1234567, "1.23 GWh"), (-0.5, "-500 Wh"), (None, UNKNOWN),
])
def test_energy_has_three_digits_and_its_best_unit(kwh: float | None, shown: str) -> None:
    assert ENERGY.shown(kwh) == shown


def test_a_range_has_one_unit() -> None:
    assert ENERGY.shown_range(0, 0.000302) == "0 to 1,090 J"
    assert ENERGY.shown_range(0.45, 14.4) == "0.450 to 14.4 kWh"


def test_mass_water_and_data() -> None:
    assert [MASS.shown(v) for v in (1e-9, 0.0005, 0.0123, 5.0, 12345.0, 2e6)] == ["1.00 µg", "500 mg", "12.3 g", "5.00 kg", "12.3 t", "2.00 kt"]
    assert VOLUME.shown(1500.0) == "1.50 m³"
    assert [DURATION.shown(v) for v in (0.0023, 0.5, 95.9)] == ["8.28 s", "30.0 min", "95.9 h"]
    assert DATA.shown(2500.0) == "2.50 TB"


@pytest.mark.parametrize(("value", "shown"), [
    (0.0, "0"), (0.0123456, "0.0123"), (1.0, "1.00"), (9.999, "10.0"), (99.96, "100"), (1234.0, "1,230"), (1e-5, "0.0000100"), (None, UNKNOWN)])
def test_digits_are_three_and_never_an_exponent(value: float | None, shown: str) -> None:
    assert digits(value) == shown


@pytest.mark.parametrize(("value", "shown"), [
    (0.0, "0 %"), (1.0, "100 %"),
    (0.99999, "> 99.9 %"), (0.00001, "< 0.1 %"), (0.123456, "12.3 %"), (0.999, "99.9 %"), (0.9, "90.0 %"), (1.5, "150 %"), (None, UNKNOWN)])
def test_a_share_is_0_or_100_percent_only_where_it_is(value: float | None, shown: str) -> None:
    assert share(value) == shown


def test_a_columns_unit_suits_its_largest() -> None:
    assert ENERGY.unit_for([0.001, None, 1500.0]) == ("MWh", 1e3)
    assert ENERGY.unit_for([]) == ("mJ", 1 / 3.6e9)
