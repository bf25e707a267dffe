"""The pages on marts and SQL say what is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from wattlake_warehouse.marts.page import marts_page
from wattlake_warehouse.sql.limits import Limits
from wattlake_warehouse.sql.session import Session, open_session

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLES = re.findall(r"```sql\n(.*?)```", (DOCS / "sql.md").read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def session(lake: Path) -> Iterator[Session]:
    with open_session(lake, Limits()) as session:
        yield session


def test_marts_md_is_what_the_headers_say() -> None:
    page = (DOCS / "marts.md").read_text(encoding="utf-8")
    assert page == marts_page(), "run `python -m wattlake_warehouse.marts.page > docs/marts.md`"


def test_sql_md_has_examples() -> None:
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_of_sql_md_runs_and_gives_rows(session: Session, number: int) -> None:
    assert session.ask(EXAMPLES[number]).rows


def test_sql_md_names_the_limits_that_are() -> None:
    page = (DOCS / "sql.md").read_text(encoding="utf-8")
    limits = Limits()
    assert f"`--timeout` ({limits.timeout_s:g} s), `--memory` ({limits.memory_mib} MiB), `--limit` ({limits.rows:,} rows" in page


def test_the_traced_figure_is_what_its_rows_factors_and_readings_give(session: Session) -> None:
    job, facts, factor, readings = (next(e for e in EXAMPLES if start in e) for start in (
        "SELECT job, location_kg FROM", "energy_mj, location_ug, basis", "AS by_hand_ug", "FROM raw_readings"))
    ((_, location_kg),) = session.ask(job).rows
    rows = session.ask(facts).rows
    assert sum(row[4] or 0 for row in rows) / 1e9 == pytest.approx(location_kg, rel=1e-12)
    (traced,) = session.ask(factor).rows
    energy_mj, _, location_ug, by_hand_ug = traced[:4]
    assert location_ug == by_hand_ug
    assert session.ask(readings).rows[-1][2] == energy_mj
