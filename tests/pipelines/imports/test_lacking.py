"""Rows that are good, and yet not enough for some figure, are told as such."""

from __future__ import annotations

from pathlib import Path

import pytest

GRID = "zone,start,end,direct_g_per_kwh"
HOUR = "DE,2026-03-01T00:00Z,2026-03-01T01:00Z,300"


@pytest.mark.parametrize(("kind", "lines", "said"), [
    ("grid", [GRID, HOUR], "1 row has not both lifecycle_g_per_kwh and td_loss_fraction: upstream emissions (Scope 3.3) stay unknown"),
    ("grid", [f"{GRID},lifecycle_g_per_kwh,td_loss_fraction", f"{HOUR},360,", f"{HOUR.replace('DE', 'FR')},360,0.05"], "1 row has not both"),
    ("grid", [f"{GRID},lifecycle_g_per_kwh,td_loss_fraction", f"{HOUR},360,0.05"], None),
    ("grid", ["zone,start,end,marginal_g_per_kwh", HOUR], None),
    ("nodes", ["node,site", "a,b", "c,d"], "2 rows have no sku: the embodied emissions of these machines stay unknown"),
    ("nodes", ["node,site,sku", "a,b,s"], "1 row has a sku, and neither acquired_on nor valid_from"),
    ("nodes", ["node,site,sku,acquired_on", "a,b,s,2025-01-01T00:00Z"], None),
    ("nodes", ["node,site,device", "a,b,gpu0"], None),
    ("sites", ["site,zone,pue", "a,DE,1.2"], None),
])
def test_what_stays_unknown_is_told_at_import(run_import, tmp_path: Path, kind: str, lines: list[str], said: str | None) -> None:
    path = tmp_path / "in.csv"
    path.write_text("\n".join(lines) + "\n")
    ran = run_import(kind, path)
    assert ran.code == 0
    assert (said in ran.err) if said else ("stay unknown" not in ran.err)
