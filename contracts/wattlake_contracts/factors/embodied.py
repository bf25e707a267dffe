"""What it takes to build common hardware: what stands in until a maker's own figures are imported."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from wattlake_contracts.factors.factor import Factor, Line, read_factors
from wattlake_contracts.kinds import DEVICE_KINDS, EMBODIED

FILE = "embodied.csv"


@dataclass(frozen=True, kw_only=True)
class EmbodiedFactor(Factor):
    """Emissions of building one piece of hardware, in kg CO2e.

    sku: as NVML or its maker names it. component_of: the sku whose figure already holds this one,
    or ''. life_years: over how many years of 8,760 h it is spread.
    """

    sku: str
    device_kind: str
    life_years: float
    boundary: str
    stages: str
    component_of: str


def _make(line: Line) -> EmbodiedFactor:
    life_years = line.number("life_years")
    if life_years <= 0:
        raise line.wrong("life_years must be above 0")
    return EmbodiedFactor(
        sku=line.text("sku"), device_kind=line.choice("device_kind", DEVICE_KINDS), life_years=life_years,
        boundary=line.text("boundary"), stages=line.text("stages"), component_of=line.text("component_of", needed=False),
        **vars(line.common(("kg CO2e",))),
    )


@cache
def embodied_factors() -> tuple[EmbodiedFactor, ...]:
    """Every row of the file."""
    return read_factors(FILE, _make)


def starter_embodied() -> list[dict[str, object]]:
    """The factors as rows of kind `embodied` (stored names and units: µg), in the file's order.

    known_from_ms is valid_from_ms. All are marked estimated: none is about the very piece at hand.
    """
    scale = EMBODIED.column("embodied_ug").inputs[0].scale

    def ug(kg: float | None) -> int | None:
        return None if kg is None else round(kg * scale)

    return [
        {
            "sku": f.sku, "embodied_ug": ug(f.value), "life_years": f.life_years, "low_ug": ug(f.low), "high_ug": ug(f.high),
            "boundary": f.boundary, "stages": f.stages, "component_of": f.component_of or None,
            "valid_from_ms": f.valid_from_ms, "known_from_ms": f.valid_from_ms,
            "source": f"{f.shipped_source} ({f.note})" if f.note else f.shipped_source, "estimated": True,
        }
        for f in embodied_factors()
    ]
