"""What is derived from the contracts agrees with them: schemas, DDL, the reference page, versions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import duckdb
import pytest

from wattlake_contracts.column import Type
from wattlake_contracts.kind import VERSION, Kind, accepts
from wattlake_contracts.kinds import IMPORT_KINDS, KINDS, TOPICS
from wattlake_contracts.schema import ddl, json_schema, reference_page, schema_files, write_schemas
from wattlake_contracts.tables import FACTS, TABLES

ROOT = Path(__file__).resolve().parents[2]
BOTH = [*KINDS.values(), *TABLES.values()]


@pytest.mark.parametrize("thing", BOTH, ids=lambda t: t.name)
def test_names_are_unique_and_keys_exist(thing: Kind) -> None:
    names = [c.name for c in thing.columns]
    assert len(set(names)) == len(names)
    assert set(thing.key) <= set(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", n) for n in names)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda k: k.name)
def test_every_kind_lands_in_a_table_that_has_its_columns(kind: Kind) -> None:
    table = TABLES[kind.table]
    for column in kind.columns:
        assert table.column(column.name).type is column.type
    assert f"wattlake.{kind.topic}" in {f"wattlake.{t}" for t in TOPICS}


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda k: k.name)
def test_import_names_are_unique_and_rules_name_columns(kind: Kind) -> None:
    written = [i.name for c in kind.columns for i in c.accepted_inputs]
    assert len(set(written)) == len(written)
    assert set(kind.required_inputs) <= set(kind.inputs)
    for rule in kind.rules:
        assert rule.form in {"ordered", "at_most", "any_of", "one_of"}
        assert all(kind.column(c) for c in rule.columns)
    with pytest.raises(KeyError, match="has no column nonsense"):
        kind.column("nonsense")


def test_each_column_carries_its_unit_in_its_name() -> None:
    endings = {"mJ": "_mj", "mW": "_mw", "ms": "_ms", "µg CO2e": "_ug", "µL": "_ul", "ppm": "_ppm", "g CO2e/kWh": "g_per_kwh"}
    for thing in BOTH:
        for column in thing.columns:
            # a bound's value is mJ or mW, as its row says
            if (ending := endings.get(column.unit)) and not column.name.endswith("_value"):
                assert column.name.endswith(ending), (thing.name, column.name)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda k: k.name)
def test_the_json_schema_says_what_the_contract_says(kind: Kind) -> None:
    schema = json.loads(json.dumps(json_schema(kind)))
    assert list(schema["properties"]) == [c.name for c in kind.columns]
    assert schema["required"] == [c.name for c in kind.columns if c.required]
    assert schema["additionalProperties"] is True
    for column in kind.columns:
        found = schema["properties"][column.name]
        types = [found["type"]] if isinstance(found["type"], str) else found["type"]
        assert ("null" in types) is not column.required
        assert {"string": Type.STRING, "integer": Type.INT, "number": Type.FLOAT, "boolean": Type.BOOL}[types[0]] is column.type
        assert found.get("minimum") == column.minimum
        assert found.get("maximum") == column.maximum
        if column.choices:
            assert found["enum"] == [*column.choices, *([] if column.required else [None])]
        assert ("pattern" in found) is bool(column.reserved_ending or column.reserved_start)


@pytest.mark.parametrize("kind", [KINDS["readings"], KINDS["nodes"]], ids=lambda k: k.name)
def test_the_json_schema_takes_every_device_name_but_that_of_a_rest(kind: Kind) -> None:
    pattern = json_schema(kind)["properties"]["device"]["pattern"]
    names = ("gpu0.rest", ".rest", "a\n.rest", "é.rest", "", "gpu0", "gpu0.rest0", "gpu0.REST", "interest", "gpu0.rest\n", "a.rest b")
    assert [n for n in names if re.search(pattern, n)] == [n for n in names if not n.endswith(".rest")]


@pytest.mark.parametrize("kind", [KINDS["jobs"], KINDS["transfers"], KINDS["serving"]], ids=lambda k: k.name)
def test_the_json_schema_takes_no_name_that_reports_use_for_what_has_none(kind: Kind) -> None:
    names = ("(none)", "(", "", "x", "a(b)", " (x)", "a\n(b)", "é")
    for name in ("job", "model"):
        pattern = json_schema(kind)["properties"][name]["pattern"]
        assert [n for n in names if re.search(pattern, n)] == [n for n in names if not n.startswith("(")]


def test_the_ddl_makes_every_table_in_duckdb_and_again_without_harm() -> None:
    with duckdb.connect() as connection:
        for _ in range(2):
            for table in TABLES.values():
                connection.execute(ddl(table, "memory"))
        for table in TABLES.values():
            made = connection.execute("SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = ? "
                                      "ORDER BY ordinal_position", [table.name]).fetchall()
            assert made == [(c.name, c.type.value, "NO" if c.required else "YES") for c in table.columns]


def test_the_reference_page_is_made_from_the_contracts_as_they_are() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert page == reference_page(), "run `make docs`"
    for thing in BOTH:
        assert f"### {thing.name}" in page
    for name in IMPORT_KINDS:
        for written in KINDS[name].inputs:
            assert written in page


def test_the_schemas_are_made_from_the_contracts_as_they_are_and_linked_from_the_page(tmp_path: Path) -> None:
    folder = ROOT / "docs" / "schemas"
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == schema_files(), "run `make docs`"
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert [name for name in schema_files() if f"(schemas/{name})" not in page] == []
    (tmp_path / "gone.json").touch()
    write_schemas(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(schema_files())


def test_the_schemas_are_schemas_and_tell_good_rows_from_bad_ones() -> None:
    # great-expectations brings it along
    Draft202012Validator = pytest.importorskip("jsonschema").Draft202012Validator  # noqa: N806  # a class
    for text in schema_files().values():
        Draft202012Validator.check_schema(json.loads(text))
    good = {"job": "j", "node": "n", "start_ms": 1_760_000_000_000, "end_ms": None, "phase": "train"}
    validator = Draft202012Validator(json.loads(schema_files()["jobs.json"]))
    assert [e.message for e in validator.iter_errors(good)] == []
    for change in ({"job": None}, {"job": "(none)"}, {"start_ms": 1}, {"phase": "play"}, {"share_ppm": 0}, {"tokens": "5"}):
        assert len(list(validator.iter_errors(good | change))) == 1, change


def test_a_newer_minor_is_accepted_and_another_major_is_not() -> None:
    major, minor = map(int, VERSION.split("."))
    assert accepts(VERSION) is None
    assert accepts(f"{major}.{minor + 1}") is None
    assert accepts(f"{major}.999") is None
    assert "another major" in (accepts(f"{major + 1}.0") or "")
    assert "another major" in (accepts(f"{major - 1}.0") or "")


@pytest.mark.parametrize("version", ["", "1", "1.", ".1", "one.two", "1.0.0", "-1.0", "1.x", "1 .0"])
def test_what_is_no_version_is_refused(version: str) -> None:
    assert "not MAJOR.MINOR" in (accepts(version) or "")


def test_the_facts_are_those_of_the_design() -> None:
    assert {"fact_energy", "fact_emissions", "fact_embodied", "fact_transfers", "fact_serving"} <= set(FACTS)
