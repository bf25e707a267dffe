"""One element of accounting: a shard and a day, its dirty hours, and the files they need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wattlake_contracts.kinds import READINGS
from wattlake_contracts.layout import DAY_MS, HOUR_MS, LONGEST_GAP_MS
from wattlake_contracts.tables import FACT_EMISSIONS, FACT_ENERGY
from wattlake_pipelines.account.kernels.emissions import emission_facts
from wattlake_pipelines.account.kernels.energy import Settings, energy_facts
from wattlake_pipelines.arrow_schema import conform, table_schema, widened
from wattlake_pipelines.lake.committed import committed
from wattlake_pipelines.lake.manifest import StagedFile, stage

_READING_COLUMNS = [c.name for c in READINGS.columns]
_REFERENCES = ("jobs", "places", "devices", "sites", "direct", "marginal", "place_cuts", "zone_cuts")
_STRINGS = ["node", "device", "device_kind", "epoch", "method", "boundary"]


@dataclass(frozen=True)
class RawGroup:
    """One row group of a raw file: the readings of one hour."""

    path: str
    group: int
    hour_ms: int


@dataclass(frozen=True)
class Stretch:
    """Hours of a day whose readings are held in memory together.

    name: its files in the staging folder: `<name>.energy` (node, hour_ms to open and produce),
    `<name>.edges` (context), `<name>.opened`. raw: the row groups to read.
    """

    name: str
    raw: tuple[RawGroup, ...]


@dataclass(frozen=True)
class DayElement:
    """What one worker makes anew.

    name: its file in the staging folder: `<name>.emissions` (node, hour_ms to derive). stretches: where
    energy is made anew. old_energy, old_emissions: committed files of the day, or ''.
    """

    name: str
    shard: int
    day_ms: int
    stretches: tuple[Stretch, ...]
    old_energy: str
    old_emissions: str
    long_gap_ms: int


def compute(element: DayElement, staging: Path, attempt: str) -> list[StagedFile]:
    """Stage the day's fact_energy and fact_emissions with the dirty (node, hour) rows made anew."""
    derive = handed_over(staging / f"{element.name}.emissions")
    references = DayReferences.read(staging, element)
    files = []
    name = f"{element.day_ms}-{element.shard}-{attempt}.parquet"
    energy = _old(element.old_energy, FACT_ENERGY.name)
    if element.stretches:
        dirty = pa.concat_tables([handed_over(staging / f"{s.name}.energy") for s in element.stretches])
        made = [day_energy(s, staging, references, element.long_gap_ms) for s in element.stretches]
        energy = widened([_without(energy, dirty), *made], table_schema(FACT_ENERGY)).sort_by(_sort_keys(energy))
        files.append(stage(FACT_ENERGY.name, energy, staging, name, day_ms=element.day_ms, shard=element.shard))
    emissions = _without(_old(element.old_emissions, FACT_EMISSIONS.name), derive)
    fresh = emission_facts(_only(energy, derive), references.sites, references.direct, references.marginal, references.places)
    schema = table_schema(FACT_EMISSIONS)
    emissions = widened([emissions, conform(fresh, schema)], schema).sort_by(_sort_keys(emissions))
    files.append(stage(FACT_EMISSIONS.name, emissions, staging, name, day_ms=element.day_ms, shard=element.shard))
    return files


@dataclass(frozen=True)
class DayReferences:
    """Reference data in force on a day, and devices as far back as its readings go."""

    jobs: pa.Table
    places: pa.Table
    devices: pa.Table
    sites: pa.Table
    direct: pa.Table
    marginal: pa.Table
    cuts: pa.Table

    @staticmethod
    def read(staging: Path, element: DayElement) -> DayReferences:
        """The reference files of the attempt, as far as they touch the day.

        A device's limit counts where an interval begins, be it days before: rows of the inventory are
        kept from the earliest of the readings that the element is given on.
        """
        day_ms = element.day_ms
        whole = {name: _reference(staging / f"{name}.parquet") for name in _REFERENCES}
        tables = {name: _where(whole[name], start_ms=(None, day_ms + DAY_MS), end_ms=(day_ms, None))
                  for name in ("jobs", "places", "sites", "direct", "marginal")}
        begins = [pc.min(handed_over(staging / f"{stretch.name}.{what}")[column]).as_py()
                  for stretch in element.stretches for what, column in (("edges", "ts_ms"), ("opened", "hour_ms"))]
        tables["devices"] = _where(whole["devices"], end_ms=(min([day_ms, *(b for b in begins if b is not None)]), None))
        by_node, by_zone = (_where(whole[name], cut_ms=(day_ms, day_ms + DAY_MS)) for name in ("place_cuts", "zone_cuts"))
        if not by_zone.num_rows:
            return DayReferences(**tables, cuts=by_node)
        joined = tables["places"].select(["node", "zone", "start_ms", "end_ms"]).join(by_zone, "zone", join_type="inner")
        joined = joined.filter((pc.field("cut_ms") > pc.field("start_ms")) & (pc.field("cut_ms") < pc.field("end_ms"))).select(["node", "cut_ms"])
        return DayReferences(**tables, cuts=pa.concat_tables([by_node, joined.cast(by_node.schema)]))


@lru_cache(maxsize=len(_REFERENCES))
def _reference(path: Path) -> pa.Table:
    """A reference file of an attempt, kept for the worker's next element: an attempt writes it once, and its folder's name never comes again."""
    return pq.read_table(path)


def hand_over(rows: pa.Table, path: Path) -> None:
    """Write rows for the one element that reads them. (A day may have a row of each: as Parquet, writing and reading them took most of its time.)"""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows)


def handed_over(path: Path) -> pa.Table:
    """The rows that `hand_over` wrote."""
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def _where(rows: pa.Table, **bounds: tuple[int | None, int | None]) -> pa.Table:
    """The rows whose columns lie strictly between their bounds; None is no bound, NULL lies nowhere."""
    masks = [test(rows[name], bound) for name, pair in bounds.items() for test, bound in zip((pc.greater, pc.less), pair, strict=True) if bound is not None]
    for mask in masks[1:]:
        masks[0] = pc.and_(masks[0], mask)
    return rows.filter(masks[0])


def day_energy(stretch: Stretch, staging: Path, references: DayReferences, long_gap_ms: int) -> pa.Table:
    """The energy rows of the dirty (node, hour) of a stretch; nodes with the same dirty hours are done together."""
    dirty, opened, edges = (handed_over(staging / f"{stretch.name}.{what}") for what in ("energy", "opened", "edges"))
    readings = _with_edges(_readings(stretch, opened), edges)
    settings = Settings(long_gap_ms=long_gap_ms, longest_gap_ms=LONGEST_GAP_MS)
    made = []
    groups = _groups(dirty)
    for nodes, hours in groups:
        mine = readings if len(groups) == 1 else readings.filter(pc.is_in(readings["node"].cast(pa.string()), pa.array(nodes)))
        if mine.num_rows:
            facts = energy_facts(mine, hours, references.jobs, references.places, references.cuts, references.devices, settings)
            made.append(conform(facts, table_schema(FACT_ENERGY)))
    return pa.concat_tables(made) if made else table_schema(FACT_ENERGY).empty_table()


def _groups(dirty: pa.Table) -> list[tuple[list[str], np.ndarray]]:
    """(nodes, hours): nodes that share the set of their hours."""
    by_node = dirty.sort_by([("node", "ascending"), ("hour_ms", "ascending")])
    hours_of: dict[str, list[int]] = {}
    for node, hour in zip(by_node["node"].to_pylist(), by_node["hour_ms"].to_pylist(), strict=True):
        hours_of.setdefault(node, []).append(hour)
    groups: dict[tuple[int, ...], list[str]] = {}
    for node, hours in hours_of.items():
        groups.setdefault(tuple(hours), []).append(node)
    return [(nodes, np.array(hours, np.int64)) for hours, nodes in groups.items()]


def _readings(stretch: Stretch, opened: pa.Table) -> pa.Table:
    """The raw rows of the opened (node, hour), strings as dictionaries."""
    nodes_of: dict[int, list[str]] = {}
    for node, hour in zip(opened["node"].to_pylist(), opened["hour_ms"].to_pylist(), strict=True):
        nodes_of.setdefault(hour, []).append(node)
    parts = []
    for raw in stretch.raw:
        with committed(raw.path):
            file = pq.ParquetFile(raw.path, read_dictionary=_STRINGS, page_checksum_verification=True)
            rows = file.read_row_group(raw.group, columns=_READING_COLUMNS).select(_READING_COLUMNS)
        wanted = pa.array(nodes_of.get(raw.hour_ms, []), pa.string())
        present = rows["node"].combine_chunks().dictionary if rows["node"].num_chunks == 1 else pc.unique(rows["node"].cast(pa.string()))
        if not pc.all(pc.is_in(present, wanted)).as_py():
            rows = rows.filter(pc.is_in(rows["node"].cast(pa.string()), wanted))
        # files may differ in which columns they call required
        parts.append(pa.table(rows.columns, names=rows.column_names))
    if not parts:
        return pa.table({c.name: pa.array([], t) for c, t in zip(READINGS.columns, [f.type for f in _reading_schema()], strict=True)})
    return pa.concat_tables(parts).unify_dictionaries()


def _reading_schema() -> pa.Schema:
    from wattlake_pipelines.arrow_schema import kind_schema

    return kind_schema(READINGS)


def _with_edges(readings: pa.Table, edges: pa.Table) -> pa.Table:
    """The readings and their context in one table of one schema."""
    if edges.num_rows == 0:
        return readings
    plain = edges.select(_READING_COLUMNS).cast(_reading_schema())
    if readings.num_rows == 0:
        return plain
    encoded = pa.table([plain[n].combine_chunks().dictionary_encode() if pa.types.is_dictionary(readings.schema.field(n).type) else plain[n]
                        for n in _READING_COLUMNS], names=_READING_COLUMNS)
    return pa.concat_tables([readings, encoded.cast(readings.schema)]).unify_dictionaries()


def _old(path: str, table: str) -> pa.Table:
    from wattlake_contracts.tables import TABLES

    with committed(path):
        found = [pq.read_table(path, page_checksum_verification=True)] if path else []
    return widened(found, table_schema(TABLES[table]))


def _hours(rows: pa.Table) -> pa.Array:
    start = rows["start_ms"].to_numpy()
    return pa.array(start // HOUR_MS * HOUR_MS)


def _without(rows: pa.Table, pairs: pa.Table) -> pa.Table:
    return rows if rows.num_rows == 0 or pairs.num_rows == 0 else rows.filter(pc.invert(_among(rows, pairs)))


def _only(rows: pa.Table, pairs: pa.Table) -> pa.Table:
    return rows if rows.num_rows == 0 else rows.filter(_among(rows, pairs))


def _among(rows: pa.Table, pairs: pa.Table) -> pa.Array:
    """Whether each row's (node, hour) is one of the pairs."""
    def key(node: pa.ChunkedArray, hour: pa.Array) -> pa.Array:
        return pc.binary_join_element_wise(node.combine_chunks(), hour.cast(pa.string()), "\x00")

    return pc.is_in(key(rows["node"], _hours(rows)), key(pairs["node"], pairs["hour_ms"].combine_chunks()))


def _sort_keys(table: pa.Table) -> list[tuple[str, str]]:
    return [(n, "ascending") for n in ("start_ms", "node", "device", "line", "job", "boundary", "simulated", "device_kind") if n in table.column_names]
