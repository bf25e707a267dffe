"""docs/marts.md, made from the headers of the SQL files: `python -m wattlake_warehouse.marts.page > docs/marts.md`."""

from __future__ import annotations

import sys

from wattlake_warehouse.marts import MARTS
from wattlake_warehouse.marts.mart import Mart

_INTRO = """\
# Marts

Made from the headers of `warehouse/wattlake_warehouse/marts/*.sql` by `make docs`; do not edit.

A mart is a view over the lake's facts. In `wattlake sql` each is there under its plain name:
`SELECT * FROM footprint_by_model`. For the facts themselves see [reference.md](reference.md), for the rules
behind them [accounting.md](accounting.md), for examples [sql.md](sql.md).

- Sums are over the facts' integers. Units are converted in the last step, so names and units agree (`energy_kwh`, `location_kg`).
- What is unknown is NULL, never 0. A sum that leaves something out has a column beside it that says how much (`no_location_kwh`).
- A footprint is of all time, and embodied emissions begin with the day of purchase, long before the first reading.
  `footprint_by_day` has dates; [sql.md](sql.md) asks it for last month.
- Location-based (Scope 2), upstream (Scope 3.3), marginal and embodied emissions are separate columns. The one sum,
  `operational_plus_embodied_kg`, is named for what it is. Nothing here is market-based.
- `simulated` is part of every grain: what `wattlake simulate` made is never mixed with what sensors measured.
"""


def marts_page() -> str:
    """The page in Markdown."""
    return "\n".join([_INTRO, *(_section(mart) for mart in MARTS.values())]).rstrip() + "\n"


def _section(mart: Mart) -> str:
    out = [f"## {mart.name}", "", mart.summary, "", f"One row per {', '.join(mart.grain)}.", "", "| column | unit | meaning |", "|---|---|---|"]
    out += [f"| {c.name} | {c.unit} | {c.doc.replace('|', chr(92) + '|')} |" for c in mart.columns]
    out += ["", *(f"- {line}" for line in mart.caveats), ""] if mart.caveats else [""]
    return "\n".join(out)


if __name__ == "__main__":
    sys.stdout.write(marts_page())
