"""Every table of the lake, declared once: raw, reference, facts, dimensions and books."""

from __future__ import annotations

from wattlake_contracts.column import Column, count, flag, instant, number, text
from wattlake_contracts.kind import Kind
from wattlake_contracts.kinds import (
    BOUNDARIES,
    DEVICE_KINDS,
    EMBODIED,
    GRID,
    INSTRUMENTS,
    JOBS,
    KINDS,
    MEDIA,
    NODES,
    PHASES,
    READINGS,
    SERVING,
    SITES,
    STATUSES,
    TRANSFERS,
    USAGE,
)
from wattlake_contracts.table import Table

#: job_active: a job's share; job_idle, pool_idle: the idle floor (only where one is known);
#: unattributed: what no job holds. Disjoint; together they are the counter's difference.
LINES = ("job_active", "job_idle", "pool_idle", "unattributed")

_BOOT = text("boot", "one life of the writer that sent the record", internal=True)
_SEQ = count("seq", "the record's number within that life", internal=True)
_WRITER = text("writer", "the node that wrote the record", internal=True)
_APPENDED = instant("appended_ms", "when the record was written down by its sender", internal=True)


def _landed(kind: Kind, doc: str, layout: str = "batch") -> Table:
    identity = (_BOOT, _SEQ) if layout == "day_shard" else (_WRITER, _BOOT, _SEQ, _APPENDED)
    return Table(kind.table, "raw" if kind.table.startswith("raw_") else "ref", doc,
                 tuple(c.but(inputs=()) for c in kind.columns) + identity, kind.key, layout=layout)


_VERSION = text("version", "hash of the row's content, without known_from: names this version of it", internal=True)


def _reference(kind: Kind, doc: str) -> Table:
    landed = _landed(kind, doc)
    return Table(landed.name, "ref", doc, (*landed.columns, _VERSION), kind.key)


RAW_READINGS = _landed(READINGS, "Readings as they came, sorted by hour, node, device, epoch and time.", "day_shard")
RAW_USAGE = _landed(USAGE, "Usage counters as they came.", "day_shard")
RAW_JOBS = _landed(JOBS, "Job events as they came.")
RAW_TRANSFERS = _landed(TRANSFERS, "Transfers as they came.")
RAW_SERVING = _landed(SERVING, "Serving counters as they came.")
RAW_NODES = _landed(NODES, "Inventory rows and device events as they came.")
REF_SITES = _reference(SITES, "Sites, all versions; the latest known_from wins.")
REF_GRID = _reference(GRID, "Grid figures, all versions; the latest known_from wins, figures shipped with Wattlake come last.")
REF_EMBODIED = _reference(EMBODIED, "Embodied factors, all versions.")
REF_INSTRUMENTS = _landed(INSTRUMENTS, "Instruments as they came; not used yet.")

_START = instant("start_ms", "start of the period", required=True)
_END = instant("end_ms", "end of the period, not in it", required=True)
_SITE = text("site", "where the node stood; NULL if nobody said")
_ZONE = text("zone", "the site's grid zone; NULL if nobody said")
_NODE = text("node", "the machine", required=True)
_DEVICE = text("device", "the device, or `X.rest` for what X draws beyond its parts", required=True)
_KIND = text("device_kind", "what the device is", required=True, choices=DEVICE_KINDS)
_LINE = text("line", "who held the device: see docs/accounting.md", required=True, choices=LINES)
_JOB = text("job", "the job, where the line is a job's")
_BOUNDARY = text("boundary", "what the energy takes in", required=True, choices=BOUNDARIES)
_SIMULATED = flag("simulated", "made by `wattlake simulate`, not measured", required=True)


def _signed(name: str, doc: str, unit: str, *, required: bool = False) -> Column:
    """An integer that may be negative: `rest` is a difference and is never clipped."""
    return count(name, doc, unit, required=required, minimum=None, maximum=None)


_ENERGY = _signed("energy_mj", "IT energy", "mJ", required=True)
_ENERGY_KEY = (_START, _END, _SITE, _ZONE, _NODE, _DEVICE, _KIND, _LINE, _JOB, _BOUNDARY, _SIMULATED)
#: What cells are added up per (docs/accounting.md, section 5).
_ENERGY_KEY_NAMES = ("start_ms", "node", "device", "line", "job", "boundary", "simulated", "device_kind")

FACT_ENERGY = Table(
    "fact_energy", "fact",
    "Energy per period, device and holder. The lines of a device and period are disjoint and sum exactly to its counter's difference.",
    (
        *_ENERGY_KEY, _ENERGY,
        _signed("measured_mj", "of it, counted by the hardware", "mJ", required=True),
        _signed("integrated_mj", "of it, summed up from power", "mJ", required=True),
        _signed("estimated_mj", "of it, from a model", "mJ", required=True),
        _signed("imputed_mj", "of it, known in sum but spread evenly over a gap in the readings", "mJ", required=True),
        number("coverage", "share of the period in which the device was read without a long gap", "1", required=True, maximum=1),
        text("flags", "what to know about it: conflict, implausible, outlier, overlap, oversubscribed, parts_missing; comma-separated, empty if nothing"),
    ),
    _ENERGY_KEY_NAMES, layout="day_shard",
)

FACT_EMISSIONS = Table(
    "fact_emissions", "fact",
    "Emissions of the energy facts, row by row. An unknown figure is NULL and `basis` says why.",
    (
        *_ENERGY_KEY, _ENERGY,
        _signed("overhead_mj", "the facility's overhead: energy x (PUE - 1)", "mJ"),
        _signed("location_ug", "location-based Scope 2 emissions of the IT energy", "µg CO2e"),
        _signed("overhead_location_ug", "the same of the overhead", "µg CO2e"),
        _signed("upstream_ug", "fuel chain, plant and losses (Scope 3.3) of both together", "µg CO2e"),
        _signed("marginal_screening_ug", "emissions at the margin of both together; what-if only, never an inventory", "µg CO2e"),
        _signed("water_site_ul", "water used on site", "µL"),
        _signed("water_grid_ul", "water used in generation, of both together", "µL"),
        text("grid_version", "content hash of the grid figure"),
        text("site_version", "content hash of the site's figures (PUE, WUE)"),
        text("marginal_version", "content hash of the marginal figure"),
        flag("estimated", "whether a figure that went in is an estimate or a default"),
        text("basis", "what the emissions rest on, or why they are NULL", required=True),
    ),
    _ENERGY_KEY_NAMES, layout="day_shard",
)

FACT_EMBODIED = Table(
    "fact_embodied", "fact",
    "Embodied emissions accrued per UTC day, from the inventory and the clock (SCI: M = TE x TiR/EL x RR/ToR).",
    (
        _START, _END, _NODE,
        text("device", "the device; NULL for the machine itself"),
        _LINE, _JOB,
        count("embodied_ug", "accrued in the period", "µg CO2e"),
        count("reserved_ms", "reserved wall-clock time x share", "ms", required=True),
        text("version", "content hash of the embodied factor"),
        flag("estimated", "whether the factor is an estimate or a default"),
        _SIMULATED,
        text("basis", "what the figure rests on, or why it is NULL", required=True),
    ),
    ("start_ms", "node", "device", "line", "job", "version", "basis", "simulated"), layout="day_shard",
)

FACT_TRANSFERS = Table(
    "fact_transfers", "fact",
    "Bytes moved, with an average allocation of network energy; unknown embodied emissions stay NULL.",
    (
        text("id", "names the transfer", required=True),
        instant("ts_ms", "when it began", required=True),
        text("job", "the job that moved it"), text("model", "the model it was for"), text("dataset", "the data moved"),
        text("medium", "what carried it", required=True, choices=MEDIA),
        text("from_site", "where from", required=True), text("to_site", "where to", required=True),
        count("bytes", "how much", "bytes", required=True),
        count("energy_mj", "average allocation of the medium's energy", "mJ"),
        count("low_mj", "low end of its range", "mJ"), count("high_mj", "high end of its range", "mJ"),
        count("location_ug", "emissions of that energy: mean of both ends' grids, or the known one", "µg CO2e"),
        count("embodied_ug", "NULL: no source is good enough yet", "µg CO2e"),
        text("factor", "the allocation factor used: year and source"),
        _SIMULATED,
        text("basis", "what the figures rest on, or why they are NULL", required=True),
    ),
    ("id",), layout="day_shard",
)

FACT_SERVING = Table(
    "fact_serving", "fact",
    "Requests and tokens served per hour: differences of the cumulative counters.",
    (
        _START, _END,
        text("model", "the model served", required=True), text("job", "the job that served"),
        text("node", "the machine that served"), text("site", "where it served"),
        count("requests", "requests answered", "requests", required=True),
        count("tokens_in", "tokens read", "tokens", required=True),
        count("tokens_out", "tokens written", "tokens", required=True),
        count("tokens_cached", "of tokens_in, those from a cache", "tokens"),
        text("unit", "another functional unit"), count("units", "how many of it"),
        _SIMULATED,
    ),
    ("start_ms", "model", "job", "node", "site", "unit", "simulated"), layout="day_shard",
)

DIM_JOBS = Table(
    "dim_jobs", "dim", "What is known of each job: its latest word, closed before open.",
    (
        text("job", "its name", required=True),
        instant("start_ms", "its earliest start on any node", required=True),
        instant("end_ms", "its latest end; an open job ends at its last renewal + lease"),
        flag("open", "whether no stop was ever seen", required=True),
        count("nodes", "on how many nodes it ran", "nodes", required=True),
        text("user", "who started it"), text("team", "who answers for it"), text("project", "what it belongs to"),
        text("cost_centre", "who pays"), text("run_group", "ties a search together"), text("model", "its model"),
        text("base_model", "the model it starts from"), text("dataset", "its data"),
        text("phase", "its place in the life cycle", choices=PHASES), text("status", "how it ended", choices=STATUSES),
        count("examples", "examples processed"), count("tokens", "tokens processed"), count("params", "parameters"),
        number("flop", "operations done", "FLOP"), text("precision", "number format"),
        text("quality_metric", "what quality_value measures"), number("quality_value", "the quality reached", minimum=None),
        _SIMULATED,
    ),
    ("job",),
)
DIM_NODES = Table(
    "dim_nodes", "dim", "Each node with its latest site, model and owner.",
    (
        text("node", "the machine", required=True), text("site", "where it stands"), text("asset", "its asset number"),
        text("sku", "its model"), text("ownership", "who owns it"),
        instant("acquired_on_ms", "when its life began").but(minimum=0), instant("retired_on_ms", "when it was retired"),
        instant("valid_from_ms", "from when that holds"), _SIMULATED,
    ),
    ("node",),
)
DIM_DEVICES = Table(
    "dim_devices", "dim", "Each device with its parent: a parent's readings already hold its children's.",
    (
        text("node", "the machine", required=True), text("device", "the device", required=True),
        text("device_kind", "what it is"), text("device_sku", "its model"), text("parent", "whose readings hold it"),
        text("domain", "what the counter calls itself"), count("max_power_mw", "the most it draws", "mW"),
        count("idle_power_mw", "what it draws idle", "mW"), text("sensor_class", "its kind of sensor"), _SIMULATED,
    ),
    ("node", "device"),
)
DIM_MODELS = Table(
    "dim_models", "dim", "Each model, with the model it was made from.",
    (
        text("model", "its name", required=True), text("base_model", "what it was made from"),
        count("params", "parameters", "parameters"), count("jobs", "jobs that worked on it", "jobs", required=True),
    ),
    ("model",),
)

REJECTED = Table(
    "rejects", "book", "Records and rows that could not be used, with their place, reason and bytes.",
    (
        text("kind", "what they were meant to be"), text("place", "file and line, or writer, boot, seq and row", required=True),
        text("reason", "what is wrong", required=True), text("body", "the row as it came; base64 if not text"),
        text("writer", "the node that wrote the record"), _BOOT, _SEQ,
        instant("appended_ms", "when it was written down by its sender"),
    ),
    ("kind", "place", "reason", "body"),
)
SEEN = Table(
    "seen", "book", "The records already landed: intervals of seq per writer and boot; of messages known by their place, one interval per partition.",
    (
        text("node", "the writer", required=True), text("boot", "one life of it", required=True),
        count("from_seq", "first of the interval", required=True), count("to_seq", "one past the last", required=True),
    ),
    ("node", "boot", "from_seq"),
)
SEEN_EVENTS = Table(
    "seen_events", "book", "The CloudEvents of other programs landed of late, in files sorted by event.",
    (
        text("event", "hash of its source and id", required=True),
        count("batch", "the landing that took it; after 100 days with commits it is forgotten", required=True),
    ),
    ("event",),
)
SET_ASIDE = Table(
    "set_aside", "book", "Records that a newer version has sent, whole: the first landing of a version that knows their kind takes them up.",
    (
        text("kind", "what they are", required=True), text("version", "of their schema", required=True),
        text("content_type", "how the body is to be read", required=True), text("body", "the record's bytes in base64", required=True),
        text("writer", "the node that wrote the record", required=True), _BOOT, _SEQ,
        instant("appended_ms", "when it was written down by its sender"),
    ),
    ("writer", "boot", "seq"),
)
NODE_KEYS = Table(
    "node_keys", "book",
    "The public keys of nodes that sign their records. Rows are added and never changed: of a node and key the one of the greatest batch holds.",
    (
        text("node", "whose key it is", required=True),
        text("public_key", "Ed25519, its 32 bytes in base64; NULL where the row only says whether the node's records must be signed"),
        instant("valid_from_ms", "the key signs records written down from then on; NULL: whenever"),
        instant("valid_to_ms", "and before then; NULL: without end"),
        flag("required", "whether the node's records must be signed, from this row on", required=True),
        instant("added_ms", "when the row was added, by the committer's clock", required=True),
        count("batch", "the commit that added it", required=True),
    ),
    ("node", "public_key", "batch"),
)
LOG_POSITIONS = Table(
    "log_positions", "book", "How far each partition of the log is landed.",
    (
        text("log", "the log's identity", required=True), text("partition", "the partition", required=True),
        count("next_offset", "the first offset not landed", required=True),
    ),
    ("log", "partition"), files=False,
)
READING_BOUNDS = Table(
    "reading_bounds", "book",
    "The two outermost readings on either side of each counter and hour (duplicates too), as they came, so that a "
    "neighbour is found without opening its file. One landing adds its own; the reader takes the outermost of all.",
    (
        *(c.but(inputs=()) for c in READINGS.columns),
        instant("hour_ms", "the hour", required=True),
        count("batch", "the landing that added it", required=True),
    ),
    ("node", "device", "epoch", "hour_ms", "ts_ms", "batch"),
)
DIRTY = Table(
    "dirty", "book", "What must be accounted again: a key, the span touched and why.",
    (
        text("cause", "readings, jobs, nodes, sites, grid, embodied, transfers, serving", required=True),
        text("key", "node, site, zone or sku", required=True),
        Column("from_ms", READINGS.column("ts_ms").type, "start of the span touched", "ms", True),
        Column("to_ms", READINGS.column("ts_ms").type, "end of the span touched", "ms", True),
        count("batch", "the landing that marked it", required=True),
    ),
    ("cause", "key", "from_ms", "batch"),
)
FILES = Table(
    "files", "book", "Every data file of the lake with its hash, so that a flipped bit is found.",
    (
        text("path", "relative to the lake", required=True), text("table_name", "the table it belongs to", required=True),
        instant("day_ms", "the day it holds, where it holds one").but(minimum=0), count("shard", "the shard it holds"),
        count("rows", "its rows", required=True), count("bytes", "its size", "bytes", required=True),
        text("sha256", "its hash", required=True),
        text("hours_ms", "the hours in it (row group by row group), comma-separated, for raw readings"),
    ),
    ("path",), files=False,
)
_SPAN = (Column("start_ms", READINGS.column("ts_ms").type, "start of the span; -2^62 if open", "ms", True),
         Column("end_ms", READINGS.column("ts_ms").type, "end of the span, not in it; 2^62 if open", "ms", True))

ACCOUNTED_JOBS = Table(
    "accounted_jobs", "book", "The job records that the facts rest on; what differs from them is accounted again.",
    (
        text("job", "the job", required=True), text("node", "the machine", required=True), text("device", "the device, or NULL"),
        *_SPAN, count("share_ppm", "its share", "ppm", required=True), flag("open", "whether it was still open", required=True),
    ),
    ("job", "node", "device", "start_ms"),
)
ACCOUNTED_PLACES = Table(
    "accounted_places", "book", "Where each node stood, as the facts have it.",
    (
        text("node", "the machine", required=True), text("site", "its site"), text("zone", "the site's zone"), *_SPAN,
        text("version", "content hash of the site's figures"),
    ),
    ("node", "start_ms"),
)
ACCOUNTED_DEVICES = Table(
    "accounted_devices", "book", "The device tree and limits that the facts rest on.",
    (
        text("node", "the machine", required=True), text("device", "the device", required=True), text("parent", "whose readings hold it"),
        count("max_power_mw", "the most it draws", "mW"), *_SPAN,
    ),
    ("node", "device", "start_ms"),
)
ACCOUNTED_ITEMS = Table(
    "accounted_items", "book", "The inventory and embodied factors that the embodied facts rest on.",
    (
        text("node", "the machine", required=True), text("device", "the device, or NULL for the machine"), text("sku", "its model"),
        text("machine_sku", "the machine's model"), instant("acquired_on_ms", "when its life began").but(minimum=0),
        instant("retired_on_ms", "when it was retired"), count("valid_from_ms", "from when the row holds", minimum=None),
        count("valid_to_ms", "until when it holds"), count("embodied_ug", "its embodied emissions", "µg CO2e"),
        number("life_years", "its life", "years"), text("version", "content hash of the factor"), flag("estimated", "whether it is an estimate"),
        text("component_of", "the sku that holds it already"), _SIMULATED,
    ),
    ("node", "device", "valid_from_ms"),
)
COMMITS = Table(
    "commits", "book", "Each commit: what it did, and the data watermark that embodied emissions accrue to.",
    (
        count("batch", "number of the commit", required=True), text("stage", "land, account, maintain, seed or key", required=True),
        text("attempt", "attempt id, in the names of its files", required=True),
        count("rows", "rows that it added", required=True), count("rejects", "of them, rejects", required=True),
        instant("watermark_ms", "latest instant that any landed data speaks of"),
        instant("committed_ms", "when, by the committer's clock"),
        count("folded", "so many commits of the same stage and day before it are this row, too: old ones are; NULL: none"),
    ),
    ("batch",), files=False,
)

TABLES: dict[str, Table] = {
    t.name: t for t in (
        RAW_READINGS, RAW_USAGE, RAW_JOBS, RAW_TRANSFERS, RAW_SERVING, RAW_NODES,
        REF_SITES, REF_GRID, REF_EMBODIED, REF_INSTRUMENTS,
        FACT_ENERGY, FACT_EMISSIONS, FACT_EMBODIED, FACT_TRANSFERS, FACT_SERVING,
        DIM_JOBS, DIM_NODES, DIM_DEVICES, DIM_MODELS,
        REJECTED, SET_ASIDE, SEEN, SEEN_EVENTS, NODE_KEYS, LOG_POSITIONS, READING_BOUNDS, DIRTY, FILES, COMMITS,
        ACCOUNTED_JOBS, ACCOUNTED_PLACES, ACCOUNTED_DEVICES, ACCOUNTED_ITEMS,
    )
}
FACTS: tuple[str, ...] = tuple(t.name for t in TABLES.values() if t.layer == "fact")
assert all(k.table in TABLES for k in KINDS.values())
