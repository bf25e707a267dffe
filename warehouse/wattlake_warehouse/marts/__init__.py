"""The marts: one SQL file each, in the order in which they are made. A new mart is one file and one name here."""

from __future__ import annotations

from importlib.resources import files

from wattlake_contracts.layout import LONGEST_GAP_MS
from wattlake_warehouse.marts.mart import Mart, parse

__all__ = ["MACROS", "MARTS", "NAMES", "OF_WHOLE_LIVES", "Mart"]

#: A mart may read those before it.
NAMES = (
    "spans",
    "jobs_without_energy",
    "daily_totals",
    "footprint_totals",
    "footprint_by_day",
    "footprint_by_phase",
    "footprint_by_model",
    "footprint_by_team",
    "footprint_by_job",
    "footprint_by_site_hour",
    "inference",
    "data_movement",
    "coverage",
    "silent",
    "long_gaps",
    "closure",
    "counters",
    "embodied_by_node",
    "data_quality",
    "factors_in_use",
)
#: Marts that make no sense for some days only.
OF_WHOLE_LIVES = ("counters",)


def _source(name: str) -> str:
    return files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")


#: Unit conversions that every mart uses in its last step.
MACROS = _source("units") + f"CREATE TEMP MACRO longest_gap_ms() AS {LONGEST_GAP_MS};\n"
MARTS: dict[str, Mart] = {name: parse(name, _source(name)) for name in NAMES}
