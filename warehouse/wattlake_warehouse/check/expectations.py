"""Running gates through great-expectations, and keeping its Data Docs."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from wattlake_warehouse.check.gate import Gate, Rule
from wattlake_warehouse.check.pages import write_out

#: Where the library puts its pages, within the folder of the Data Docs.
SITE = "gx/uncommitted/data_docs/local_site"
#: More rows than this are checked in pieces: a frame of them fits in memory.
ROWS_AT_ONCE = 500_000


@dataclass(frozen=True)
class Outcome:
    """What a rule found. unexpected: rows that break it; example: one of their values."""

    gate: str
    columns: str
    form: str
    blocking: bool
    ok: bool
    rows: int
    unexpected: int
    example: str | None
    why: str


def _library() -> Any:
    """great-expectations, told to be quiet and to call nobody. Importing it takes seconds, so it is done here."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="great_expectations")
    import great_expectations as gx

    return gx


def _expectation(gx: Any, rule: Rule) -> Any:
    """The rule as an expectation."""
    made = gx.expectations
    meta = {"blocking": rule.blocking, "why": rule.why}
    severity = "critical" if rule.blocking else "warning"
    column = rule.columns[0]
    if rule.form == "not_null":
        return made.ExpectColumnValuesToNotBeNull(column=column, meta=meta, severity=severity)
    if rule.form == "between":
        return made.ExpectColumnValuesToBeBetween(column=column, min_value=rule.minimum, max_value=rule.maximum, meta=meta, severity=severity)
    if rule.form == "in_set":
        return made.ExpectColumnValuesToBeInSet(column=column, value_set=list(rule.choices), meta=meta, severity=severity)
    if rule.form == "none":
        return made.ExpectColumnValuesToBeNull(column=column, meta=meta, severity=severity)
    raise ValueError(f"no expectation for a rule of form {rule.form!r}")


def run_gates(connection: duckdb.DuckDBPyConnection, gates: Sequence[Gate], docs: Path) -> Iterator[tuple[Gate, list[Outcome]]]:
    """Run each gate and yield its outcomes; the Data Docs are in `docs`, a folder that is there, when the last one is through."""
    gx = _library()
    context = gx.get_context(mode="file", project_root_dir=str(docs))
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_or_update_pandas("lake")
    for gate in gates:
        yield gate, _run_gate(gx, context, source, connection, gate)
    context.build_data_docs()
    write_out(docs / SITE)


def _run_gate(gx: Any, context: Any, source: Any, connection: duckdb.DuckDBPyConnection, gate: Gate) -> list[Outcome]:
    suite = context.suites.add_or_update(gx.ExpectationSuite(name=gate.name, expectations=[_expectation(gx, rule) for rule in gate.rules]))
    asset = next((a for a in source.assets if a.name == gate.name), None) or source.add_dataframe_asset(gate.name)
    batches = {b.name: b for b in asset.batch_definitions}
    batch = batches.get("rows") or asset.add_batch_definition_whole_dataframe("rows")
    definition = context.validation_definitions.add_or_update(gx.ValidationDefinition(name=gate.name, data=batch, suite=suite))
    totals: dict[int, Outcome] = {}
    reader = connection.execute(gate.query)
    while True:
        frame = reader.fetch_df_chunk(max(1, ROWS_AT_ONCE // 2048))
        if frame.empty and totals:
            break
        # pandas has no integer with gaps unless told: without this a NULL turns counts into floats
        result = definition.run(batch_parameters={"dataframe": frame.convert_dtypes()})
        for position, (rule, one) in enumerate(zip(gate.rules, _in_order(result, gate), strict=True)):
            totals[position] = _added(totals.get(position), gate, rule, one, len(frame))
        if frame.empty:
            break
    return list(totals.values())


def _in_order(result: Any, gate: Gate) -> list[Any]:
    """The results in the order of the gate's rules; the library gives them in its own."""
    found = []
    left = list(result.results)
    for rule in gate.rules:
        match = next(r for r in left if r.expectation_config.kwargs["column"] == rule.columns[0]
                     and r.expectation_config.meta.get("why") == rule.why and r.expectation_config.meta.get("blocking") == rule.blocking)
        left.remove(match)
        found.append(match)
    return found


def _added(before: Outcome | None, gate: Gate, rule: Rule, one: Any, rows: int) -> Outcome:
    details = one.result or {}
    if one.exception_info and one.exception_info.get("raised_exception"):
        raise RuntimeError(f"{gate.name}, {rule.columns[0]}: {one.exception_info.get('exception_message')}")
    examples = details.get("partial_unexpected_list") or []
    return Outcome(
        gate.name, ", ".join(rule.columns), rule.form, rule.blocking, bool(one.success) and (before is None or before.ok),
        rows + (before.rows if before else 0), int(details.get("unexpected_count") or 0) + (before.unexpected if before else 0),
        (before.example if before and before.example else None) or (str(examples[0]) if examples else None), rule.why)
