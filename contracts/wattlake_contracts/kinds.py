"""Every kind of message that may be on the log, declared once."""

from __future__ import annotations

from wattlake_contracts.column import Input, count, flag, instant, number, per_kwh, text
from wattlake_contracts.kind import Kind, Rule

DEVICE_KINDS = ("gpu", "cpu", "dram", "node", "psu", "switch", "rest", "psys", "other")
BOUNDARIES = ("component", "node_dc", "node_ac", "pdu", "facility")
METHODS = ("counter", "integrated", "estimated")
PHASES = ("data", "experiment", "train", "finetune", "evaluate", "inference", "other")
STATUSES = ("ok", "failed", "cancelled")
MEDIA = ("wan", "lan", "object", "cdn")
OWNERSHIPS = ("owned", "leased", "cloud")
NODE_EVENTS = ("inventory", "device_lost", "device_back", "divergence", "records_lost", "heartbeat")

#: Ends the name of what a device draws beyond its parts, in the facts; a device of such a name could not be told from it.
REST_ENDING = ".rest"

#: Begins what marts call the rows that have no job, team or model, such as (unattributed) and (none); one called so could not be told from them.
NAMELESS_START = "("

#: Why an interval is marked as simulated: `wattlake simulate` wrote it, no sensor did.
SIMULATED = flag("simulated", "made by `wattlake simulate`, not measured", internal=True)

READINGS = Kind(
    "readings", "readings", "arrow",
    "A cumulative energy counter, or a power, of one device at one instant.",
    (
        text("node", "the machine that the device belongs to", required=True),
        text("device", "the device, unique within its node, e.g. gpu0 or cpu-package-0", required=True, reserved_ending=REST_ENDING),
        text("device_kind", "what the device is; `node` is the wall side of the whole machine", choices=DEVICE_KINDS),
        text("epoch", "names one life of the counter; a restarted counter starts a new one"),
        instant("ts_ms", "when it was read", required=True),
        count("energy_mj", "the counter: energy since its epoch began", "mJ", inputs=(Input("energy_j", 1000.0),)),
        count("power_mw", "the power at that instant, where there is no counter", "mW",
              inputs=(Input("power_w", 1000.0),), maximum=1e12),
        text("method", "counter: the hardware counts; integrated: summed up from power; estimated: a model", choices=METHODS),
        text("boundary", "what the value takes in", choices=BOUNDARIES),
        SIMULATED,
    ),
    ("node", "device", "epoch", "ts_ms"), "raw_readings",
    (Rule("one_of", ("energy_mj", "power_mw"), "needs exactly one of energy and power"),),
    happened=("ts_ms",),
)

USAGE = Kind(
    "usage", "usage", "arrow",
    "A cumulative usage counter of one workload on one device; landed, not used yet.",
    (
        text("node", "the machine", required=True),
        text("device", "the shared device", required=True),
        text("workload", "what uses it: a job, a cgroup, a slice", required=True),
        instant("ts_ms", "when it was read", required=True),
        count("usage_ms", "time used since the workload began", "ms", required=True, inputs=(Input("usage_s", 1000.0),)),
        SIMULATED,
    ),
    ("node", "device", "workload", "ts_ms"), "raw_usage",
    happened=("ts_ms",),
)

JOBS = Kind(
    "jobs", "jobs", "json",
    "A piece of work on one node: started, renewed, stopped. One row per job, node and device.",
    (
        text("job", "its name, the same on every node it runs on", required=True, reserved_start=NAMELESS_START),
        text("node", "the machine it runs on", required=True),
        instant("start_ms", "when it began", required=True),
        instant("end_ms", "when it ended; empty while it runs"),
        text("device", "the device it holds; empty for the whole node"),
        count("share_ppm", "its share of the device, in millionths; 1000000 if not given", "ppm",
              minimum=1, maximum=1_000_000, inputs=(Input("share", 1_000_000.0),)),
        text("user", "who started it, pseudonymised where the agent is told to"),
        text("team", "who answers for it", reserved_start=NAMELESS_START),
        text("project", "what it belongs to", reserved_start=NAMELESS_START),
        text("cost_centre", "who pays for it"),
        text("run_group", "ties the runs of one search together"),
        text("model", "the model it works on", reserved_start=NAMELESS_START),
        text("base_model", "the model it starts from"),
        text("dataset", "the data it reads"),
        text("phase", "its place in the life cycle", choices=PHASES),
        text("status", "how it ended", choices=STATUSES),
        count("examples", "examples processed", "examples"),
        count("tokens", "tokens processed", "tokens"),
        count("params", "parameters of the model", "parameters"),
        number("flop", "floating-point operations done", "FLOP"),
        text("precision", "number format of the arithmetic, e.g. bf16"),
        text("quality_metric", "what quality_value measures"),
        number("quality_value", "the quality reached", minimum=None),
        instant("event_ms", "when the writer said so; a later event replaces an earlier one", internal=True),
        count("lease_ms", "an open job ends this long after its last renewal", "ms", internal=True),
        SIMULATED,
    ),
    ("job", "node", "device", "start_ms"), "raw_jobs",
    (Rule("ordered", ("start_ms", "end_ms"), "the end must be after the start"),),
    happened=("start_ms", "end_ms"),
)

TRANSFERS = Kind(
    "transfers", "transfers", "json",
    "Bytes moved between two places.",
    (
        text("id", "names the transfer; a second one of the same id replaces it", required=True),
        instant("ts_ms", "when it began", required=True),
        count("bytes", "how much was moved", "bytes", required=True),
        text("medium", "what carried it", required=True, choices=MEDIA),
        text("from_site", "where from", required=True),
        text("to_site", "where to", required=True),
        text("job", "the job that moved it", reserved_start=NAMELESS_START),
        text("model", "the model it was for", reserved_start=NAMELESS_START),
        text("dataset", "the data moved"),
        count("duration_ms", "how long it took", "ms", inputs=(Input("duration_s", 1000.0),)),
        flag("pue_included", "whether the medium's factor already holds the facility's overhead"),
        SIMULATED,
    ),
    ("id",), "raw_transfers",
    happened=("ts_ms",),
)

SERVING = Kind(
    "serving", "serving", "json",
    "Cumulative counters of an inference service.",
    (
        text("model", "the model served", required=True, reserved_start=NAMELESS_START),
        instant("ts_ms", "when the counters were read", required=True),
        text("epoch", "names one life of the counters", required=True),
        count("requests", "requests answered since the epoch began", "requests", required=True),
        count("tokens_in", "tokens read since the epoch began", "tokens", required=True),
        count("tokens_out", "tokens written since the epoch began", "tokens", required=True),
        text("job", "the job that serves", reserved_start=NAMELESS_START),
        text("node", "the machine that serves"),
        text("site", "where it serves"),
        count("tokens_cached", "of tokens_in, those from a cache", "tokens"),
        text("unit", "another functional unit, e.g. image"),
        count("units", "how many of it since the epoch began"),
        SIMULATED,
    ),
    ("model", "node", "job", "epoch", "ts_ms"), "raw_serving",
    (Rule("at_most", ("tokens_cached", "tokens_in"), "tokens from a cache are a part of tokens_in, and cannot be more"),),
    happened=("ts_ms",),
)

NODES = Kind(
    "nodes", "nodes", "json",
    "The inventory: what a node and its devices are, where they stand, since when; and what befell them.",
    (
        text("node", "the machine", required=True),
        text("site", "where it stands; the agent leaves it empty where it was not told"),
        text("asset", "its number in the organisation's own books"),
        text("sku", "the machine's model, as in the embodied factors"),
        text("device", "a device of it; empty: the row is about the machine itself", reserved_ending=REST_ENDING),
        text("device_sku", "the device's model, as in the embodied factors"),
        text("device_kind", "what the device is", choices=DEVICE_KINDS),
        text("parent", "the device whose readings already hold this one's"),
        text("domain", "what the counter calls itself, e.g. package-0"),
        count("max_power_mw", "the most it can draw", "mW", inputs=(Input("max_power_w", 1000.0),)),
        count("idle_power_mw", "what it draws idle", "mW", inputs=(Input("idle_power_w", 1000.0),)),
        instant("valid_from_ms", "from when this row holds", written_as="valid_from"),
        instant("valid_to_ms", "until when this row holds", written_as="valid_to"),
        text("ownership", "who owns it", choices=OWNERSHIPS),
        instant("acquired_on_ms", "when its life began", written_as="acquired_on").but(minimum=0),
        instant("retired_on_ms", "when it was taken out of service", written_as="retired_on"),
        text("sensor_class", "what kind of sensor reads it; errors add up within a class"),
        text("event", "inventory, or what befell the device", choices=NODE_EVENTS).but(internal=True),
        text("detail", "the event in words, or its figures").but(internal=True),
        instant("event_ms", "when the writer said so", internal=True),
        SIMULATED,
    ),
    ("node", "device", "valid_from_ms"), "raw_nodes",
    (Rule("ordered", ("valid_from_ms", "valid_to_ms"), "valid_to must be after valid_from"),),
)

_KNOWN_FROM = instant("known_from_ms", "since when this version was known; the record's own time if not given", written_as="known_from")
_SOURCE = text("source", "where the figures come from")

SITES = Kind(
    "sites", "reference", "json",
    "A place: its grid zone and its overheads.",
    (
        text("site", "its name", required=True),
        text("zone", "the grid zone it draws from", required=True),
        number("pue", "power usage effectiveness: facility energy over IT energy", required=True, minimum=1, maximum=10),
        number("wue_l_per_kwh", "water used on site per kWh of IT energy", "L/kWh", maximum=100),
        text("country", "ISO 3166-1 alpha-2"),
        text("market", "the market that its instruments must come from"),
        text("reporting_tz", "IANA zone of its reporting day"),
        text("legal_entity", "who reports it"),
        instant("valid_from_ms", "from when this row holds", written_as="valid_from"),
        instant("valid_to_ms", "until when this row holds", written_as="valid_to"),
        _KNOWN_FROM.but(internal=True),
        _SOURCE.but(internal=True),
        flag("estimated", "a default, not this site's own figure", internal=True),
    ),
    ("site", "valid_from_ms"), "ref_sites",
    (Rule("ordered", ("valid_from_ms", "valid_to_ms"), "valid_to must be after valid_from"),),
)

GRID = Kind(
    "grid", "reference", "json",
    "The grid of one zone over one period: what a kWh emits, directly and at the margin.",
    (
        text("zone", "the grid zone", required=True),
        instant("start_ms", "the period's start", required=True),
        instant("end_ms", "the period's end", required=True),
        per_kwh("direct", "emissions of generation (Scope 2, location-based)", maximum=3000),
        per_kwh("marginal", "emissions of one more kWh; for what-if, never an inventory", maximum=5000, minimum=-5000),
        per_kwh("lifecycle", "generation, its fuel chain and its plant", maximum=3000),
        per_kwh("residual", "what is left after instruments are taken out; landed, not used yet", maximum=3000),
        text("marginal_kind", "how the marginal figure was made"),
        number("td_loss_fraction", "lost in transmission and distribution, of what is generated", maximum=0.9),
        number("cfe_fraction", "carbon-free share", maximum=1),
        number("renewable_fraction", "renewable share", maximum=1),
        number("water_l_per_kwh", "water used in generation", "L/kWh", maximum=1000),
        number("price_per_mwh", "spot price", minimum=None),
        text("currency", "ISO 4217 of the price"),
        text("flow_basis", "production or consumption (after imports and exports)"),
        instant("issued_at_ms", "when a forecast was made", written_as="issued_at"),
        _KNOWN_FROM,
        _SOURCE,
        flag("estimated", "an estimate or a default, not the operator's own figure"),
    ),
    ("zone", "start_ms", "end_ms"), "ref_grid",
    (
        Rule("ordered", ("start_ms", "end_ms"), "the end must be after the start"),
        Rule("any_of", ("direct_g_per_kwh", "marginal_g_per_kwh"), "needs a direct or a marginal figure"),
    ),
)

_KG = 1e9  # µg in a kg

EMBODIED = Kind(
    "embodied", "reference", "json",
    "What it took to build one piece of hardware.",
    (
        text("sku", "the model, as the inventory names it", required=True),
        count("embodied_ug", "emissions of building one", "µg CO2e", required=True, inputs=(Input("embodied_kg", _KG),)),
        number("life_years", "over how many years of 8760 h it is spread", "years", required=True, minimum=0.1, maximum=100),
        count("low_ug", "low end of the range", "µg CO2e", inputs=(Input("low_kg", _KG),)),
        count("high_ug", "high end of the range", "µg CO2e", inputs=(Input("high_kg", _KG),)),
        text("boundary", "what it takes in, e.g. cradle-to-gate"),
        text("stages", "life-cycle stages covered"),
        text("component_of", "the sku whose figure already holds this one"),
        instant("valid_from_ms", "from when this row holds", written_as="valid_from"),
        _KNOWN_FROM,
        _SOURCE,
        flag("estimated", "a default or an estimate", internal=True),
    ),
    ("sku", "valid_from_ms"), "ref_embodied",
)

INSTRUMENTS = Kind(
    "instruments", "reference", "json",
    "A contract or certificate for electricity; landed, not used yet.",
    (
        text("id", "its name", required=True),
        instant("start_ms", "from when it covers", required=True),
        instant("end_ms", "until when it covers", required=True),
        number("kwh", "how much it covers", "kWh", required=True),
        number("g_per_kwh", "what it emits", "g CO2e/kWh", required=True),
        text("site", "the site it is for"),
        text("zone", "the zone it is from"),
        text("market", "the market it is valid in"),
        text("kind", "what it is, e.g. ppa or go"),
        text("registry", "who keeps it"),
        text("retirement_id", "proof that it was used up"),
        instant("vintage_start_ms", "generated from", written_as="vintage_start"),
        instant("vintage_end_ms", "generated until", written_as="vintage_end"),
        _SOURCE,
    ),
    ("id",), "ref_instruments",
    (Rule("ordered", ("start_ms", "end_ms"), "the end must be after the start"),),
)

REJECTS = Kind(
    "rejects", "reference", "json",
    "Rows that could not be used, so that none vanishes.",
    (
        text("kind", "the kind they were meant to be", required=True),
        text("place", "file and line, or writer, boot and seq", required=True),
        text("reason", "what is wrong and what to do", required=True),
        text("body", "the row as it came, or its bytes in base64"),
    ),
    ("kind", "place"), "rejects", importable=False,
)

KINDS: dict[str, Kind] = {
    k.name: k for k in (READINGS, USAGE, JOBS, TRANSFERS, SERVING, NODES, SITES, GRID, EMBODIED, INSTRUMENTS, REJECTS)
}
IMPORT_KINDS: tuple[str, ...] = tuple(k.name for k in KINDS.values() if k.importable)
TOPICS: tuple[str, ...] = tuple(dict.fromkeys(k.topic for k in KINDS.values()))
