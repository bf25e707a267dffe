"""What stands in each section of the report: figures turned into tables, tiles and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wattlake_warehouse.report.charts import phase_order
from wattlake_warehouse.report.figures import TOP_JOBS, Figures, Row
from wattlake_warehouse.report.quantities import DATA, DURATION, ENERGY, MASS, VOLUME, digits, share
from wattlake_warehouse.report.tables import Column, Table, amounts, counts, instants, numbers, shares, table, words

CO2E = "CO₂e"
_LINES = {
    "job_active": "Held by jobs", "job_idle": "Idle floor of devices that jobs held",
    "pool_idle": "Idle floor of devices that no job held", "unattributed": "Held by no job (unattributed)",
}
#: why embodied emissions are unknown, by basis
_UNKNOWN_EMBODIED = {"no sku": "no model named for {}", "no factor": "no factor for the model of {}", "no start": "nobody said when {} came into use"}
_EMBODIED_BASES = {"acquired_on": "when it was acquired", "valid_from": "when the inventory first named it",
                   "no sku": "no model named", "no factor": "no factor for this model", "no start": "nobody said when it came into use"}
_TOPICS = {"basis": "grid figure", "class": "energy", "embodied basis": "embodied"}
_SUBJECTS = {("basis", "subhourly"): "of less than an hour", ("basis", "hourly"): "of the hour",
             ("basis", "period"): "of a longer period, such as a yearly average",
             ("class", "measured"): "measured: counted by the hardware", ("class", "integrated"): "integrated: summed up from power",
             ("class", "estimated"): "estimated: from a model", ("class", "imputed"): "imputed: spread evenly over a gap in the readings",
             **{("embodied basis", basis): said for basis, said in _EMBODIED_BASES.items()}}
_ROWS = 25
_LIFE_CYCLE_ROWS = 40


@dataclass(frozen=True)
class Tile:
    """One headline figure."""

    label: str
    value: str
    note: str


def tiles(figures: Figures, row: Row) -> list[Tile]:
    """The headline of one kind of data, simulated or not."""
    missing = no_embodied(figures, row["simulated"])
    unknown = _unknown("without a grid figure", row["no_location_kwh"])
    return [
        Tile("IT energy", ENERGY.shown(row["energy_kwh"]), f"{_counted(row['nodes'], 'node')}, {_counted(row['devices'], 'device')}"),
        Tile("Facility overhead", ENERGY.shown(row["overhead_kwh"]),
             _unknown("without a PUE", row["no_overhead_kwh"]) or "IT energy × (PUE − 1)"),
        Tile("Location-based, Scope 2", _mass(row["location_kg"]),
             "; ".join(filter(None, (f"of it {_mass(row['overhead_location_kg'])} for the overhead", unknown)))),
        Tile("Upstream, Scope 3.3", _mass(row["upstream_kg"]),
             _unknown("without a figure", row["no_upstream_kwh"]) or "fuel chain, plant and losses"),
        Tile("Embodied, accrued", _mass(row["embodied_kg"]),
             f"{'' if row['embodied_kg'] is None else 'left out: '}{missing}" if missing else "hardware, over its life"),
        Tile("Coverage", share(row["coverage"]), "of device time, from each machine's first reading to the end of the data, read without a long gap"),
        Tile("Measured", share(row["measured_share"]), "of the energy, counted by the hardware"),
    ]


def no_embodied(figures: Figures, simulated: bool) -> str:
    """Why embodied emissions are unknown, in words: of what has none, or '' where nothing is left out."""
    reasons = [(row["basis"], row["items"]) for row in figures.unknown_embodied if row["simulated"] == simulated]
    if not reasons and not any(row["simulated"] == simulated for row in figures.embodied):
        return "no inventory of the hardware"
    return ", ".join(_UNKNOWN_EMBODIED.get(basis, f"{basis}: {{}}").format(_counted(items, "item")) for basis, items in reasons)


def life_cycle_caption(figures: Figures) -> str:
    """What the chart of the life cycle shows, and what it leaves out and why."""
    rows = [row for row in figures.life_cycle if not row["model"].startswith("(")]
    operational, embodied = (any(row[key] is not None for row in rows) for key in ("location_kg", "embodied_kg"))
    said = ["Left: emissions of the electricity, overhead included. Right: the hardware's share, on a scale of its own." if operational and embodied else
            "Emissions of the electricity, overhead included." if operational else "The hardware's share."]
    if not operational:
        said.append("Emissions of the electricity are unknown and not drawn: no grid figure.")
    if not embodied:
        reasons = [r for simulated in sorted({row["simulated"] for row in rows}) if (r := no_embodied(figures, simulated))]
        said.append(f"Embodied emissions are unknown and not drawn: {'; '.join(dict.fromkeys(reasons)) or 'jobs held no hardware with a figure'}.")
    return " ".join((*said, "The models that used most energy; what no job held is in the table only."))


def outside(figures: Figures) -> list[str]:
    """What lies outside the days that were measured, in a sentence each: simulated or not."""
    said = []
    for row in figures.outside:
        parts = [f"{_mass(row['embodied_kg'])} of embodied emissions accrued from {row['from_utc']:%Y-%m-%d} on"] if row["embodied_kg"] else []
        parts += [f"{_counted(row['jobs'], 'job')} ran"] if row["jobs"] else []
        if parts:
            said.append(f"Outside the days that were measured {' and '.join(parts)}{' (simulated)' if row['simulated'] else ''}. "
                        "That is not in these figures; wattlake report --all takes it in.")
    return said


def findings(figures: Figures) -> list[str]:
    """What a reader should take away, in a few sentences made from the figures."""
    said = outside(figures)
    for row in figures.headline:
        kind = "simulated energy" if row["simulated"] else "energy"
        if row["job_kwh"] is not None and row["energy_kwh"]:
            said.append(f"Jobs held {share(row['job_kwh'] / row['energy_kwh'])} of the {kind}; the rest was drawn while no job held the device.")
        lost = [job for job in figures.jobs if job["simulated"] == row["simulated"] and job["status"] in {"failed", "cancelled"}]
        if lost and row["job_kwh"]:
            used = sum(job["energy_kwh"] or 0.0 for job in lost)
            said.append(f"{_counted(len(lost), 'job')} failed or {'was' if len(lost) == 1 else 'were'} cancelled and took {ENERGY.shown(used)}, "
                        f"{share(used / row['job_kwh'])} of what jobs used.")
        if row["estimated_share"]:
            said.append(f"{share(row['estimated_share'])} of the {kind} is an estimate from a model: no hardware counted it.")
        if row["estimated_factor_share"]:
            said.append(f"{share(row['estimated_factor_share'])} of the {kind} is converted with estimated or default factors.")
        if row["no_location_kwh"]:
            said.append(f"{ENERGY.shown(row['no_location_kwh'])} of the {kind} has no grid figure: its emissions are unknown, not zero, "
                        "and left out of the sums.")
    for row in figures.headline:
        if row["no_energy_jobs"]:
            said.append(f"In {_counted(row['no_energy_jobs'], 'simulated job' if row['simulated'] else 'job')} nothing was read, in whole or on a machine or "
                        "device: the energy there is unknown, not zero, and left out of the sums. A list is below.")
    for row in figures.oversubscribed:
        said.append(f"{_counted(row['jobs'], 'simulated job' if row['simulated'] else 'job')} held more of a device than there is, as nested jobs do: "
                    f"{ENERGY.shown(row['energy_kwh'])} is split between them by their shares.")
    for simulated in sorted({row["simulated"] for row in figures.silent}):
        machines = sum(row["item"] == "(machine)" for row in figures.silent if row["simulated"] == simulated)
        devices = sum(row["simulated"] == simulated for row in figures.silent) - machines
        what = " and ".join(_counted(number, noun) for number, noun in ((machines, "machine"), (devices, "device")) if number)
        said.append(f"{what} of the {'simulated ' if simulated else ''}inventory had no reading in the last hour of the data; "
                    "what they drew since their last one is not in these figures, unless a meter above them was read.")
    return said


def life_cycle(figures: Figures) -> Table:
    """Per model and phase: the models that used most first, what no job held last."""
    used: dict[tuple[bool, str], float] = {}
    for row in figures.life_cycle:
        key = (row["simulated"], row["model"])
        used[key] = used.get(key, 0.0) + (row["energy_kwh"] or 0.0)
    ordered = sorted(figures.life_cycle, key=lambda r: (r["simulated"], r["model"].startswith("("), -used[r["simulated"], r["model"]],
                                                        r["model"], phase_order(r["phase"])))
    # the rows of no job are shown whatever the number of models
    models = [r for r in ordered if not r["model"].startswith("(")][:_LIFE_CYCLE_ROWS]
    rows = [r for r in ordered if r in models or r["model"].startswith("(")]
    rows = [{**r, "overhead_and_it_kg": _plus(r["location_kg"], r["overhead_location_kg"])} for r in rows]
    return table("Life cycle of each model, by phase", rows, (
        words("Model", rows, "model"), words("Phase", rows, "phase"), amounts("IT energy", rows, "energy_kwh", ENERGY, "", "no_energy_jobs"),
        amounts("Location-based", rows, "overhead_and_it_kg", MASS, CO2E, "no_location_kwh"),
        amounts("Upstream", rows, "upstream_kg", MASS, CO2E, "no_upstream_kwh"),
        amounts("Embodied", rows, "embodied_kg", MASS, CO2E, "no_embodied_days"), shares("Measured", rows, "measured_share")), len(ordered))


def teams(figures: Figures) -> Table:
    """Per team and project: those that used most first, what no job held last."""
    def place(row: Row) -> tuple[object, ...]:
        return row["simulated"], row["jobs"] == 0, -(row["energy_kwh"] or 0.0), row["team"], row["project"]

    rows = sorted(figures.teams, key=place)
    rows = [{**r, "overhead_and_it_kg": _plus(r["location_kg"], r["overhead_location_kg"])} for r in rows]
    shown = [r for n, r in enumerate(rows) if n < _ROWS or r["jobs"] == 0]
    return table("Energy and emissions of each team and project", shown, (
        words("Team", shown, "team"), words("Project", shown, "project"), counts("Jobs", shown, "jobs"),
        amounts("IT energy", shown, "energy_kwh", ENERGY, "", "no_energy_jobs"),
        amounts("Location-based", shown, "overhead_and_it_kg", MASS, CO2E, "no_location_kwh"),
        amounts("Upstream", shown, "upstream_kg", MASS, CO2E, "no_upstream_kwh"),
        amounts("Embodied", shown, "embodied_kg", MASS, CO2E, "no_embodied_days")), len(rows))


def series(rows: list[Row], step: str) -> Table:
    """The time series as a table, the intensity weighted by energy over all zones."""
    return table(f"Energy and grid intensity per {step}", rows, (
        instants("Start, UTC", rows, "start_utc"), amounts("Held by jobs", rows, "job_kwh", ENERGY), amounts("Held by no job", rows, "no_job_kwh", ENERGY),
        numbers("Grid, direct", rows, "direct_g_per_kwh", f"g {CO2E}/kWh")))


def sites(figures: Figures) -> Table:
    """Per site and zone."""
    rows = figures.sites
    return table("Energy, emissions and water of each site", rows, (
        words("Site", rows, "site"), words("Zone", rows, "zone"), amounts("IT energy", rows, "energy_kwh", ENERGY),
        amounts("Overhead", rows, "overhead_kwh", ENERGY), numbers("Grid, direct", rows, "direct_g_per_kwh", f"g {CO2E}/kWh"),
        amounts("Location-based", rows, "location_kg", MASS, CO2E, "no_location_kwh"), amounts("Upstream", rows, "upstream_kg", MASS, CO2E),
        amounts("Water, site", rows, "water_site_l", VOLUME), amounts("Water, generation", rows, "water_grid_l", VOLUME)))


def jobs(figures: Figures) -> tuple[Table, list[str]]:
    """The jobs that used most, with the status of each."""
    rows = figures.jobs[:TOP_JOBS]
    return table("Jobs by energy", rows, (
        words("Job", rows, "job"), words("Status", rows, "status"), words("Model", rows, "model"), words("Phase", rows, "phase"),
        words("Team", rows, "team"), instants("Start, UTC", rows, "start_utc"), amounts("Duration", rows, "duration_h", DURATION),
        amounts("IT energy", rows, "energy_kwh", ENERGY), amounts("Location-based", rows, "location_kg", MASS, CO2E, "no_location_kwh"),
        amounts("Embodied", rows, "embodied_kg", MASS, CO2E)), len(figures.jobs)), [row["status"] for row in rows]


def reconciliation(figures: Figures, simulated: bool) -> Table:
    """The lines in exact millijoules, their sum, and the counters' own difference below it."""
    lines = [row for row in figures.lines if row["simulated"] == simulated]
    shown: list[Row] = [{"what": _LINES[row["line"]], "energy_mj": row["energy_mj"]} for row in lines]
    shown.append({"what": "Sum of the lines", "energy_mj": sum(row["energy_mj"] for row in lines)})
    for row in figures.counters:
        if row["simulated"] != simulated or row["counter_mj"] is None:
            continue
        whole = "" if figures.window_ms is None else ", whole lake"
        if figures.window_ms is not None:
            shown.append({"what": "Sum of the lines, whole lake", "energy_mj": row["facts_mj"]})
        shown.append({"what": f"Last less first reading of {_counted(row['counters'], 'counter')}{whole}", "energy_mj": row["counter_mj"]})
        if row["not_compared_mj"]:
            shown.append({"what": f"Integrated from power, or not compared{whole}", "energy_mj": row["not_compared_mj"]})
        shown.append({"what": "Difference", "energy_mj": row["facts_mj"] - row["counter_mj"] - row["not_compared_mj"]})
    for row in shown:
        row["simulated"], row["energy_kwh"] = simulated, row["energy_mj"] / 3.6e9
    return table("Where the energy went, beside the counters", shown, (
        words("", shown, "what"), amounts("Energy", shown, "energy_kwh", ENERGY), counts("Exact", shown, "energy_mj", "mJ")))


def served(figures: Figures) -> list[Row]:
    """The models whose requests are known."""
    return [row for row in figures.inference if row["requests"] is not None]


def unserved(figures: Figures) -> str:
    """Of how many models it is known what their inference drew, and not for how many requests; '' if of none."""
    models = len(figures.inference) - len(served(figures))
    if not models:
        return ""
    return f"{_counted(models, 'model')} had inference jobs and no serving counters: what a request took is unknown. Their energy is in the life cycle above."


def inference(figures: Figures) -> Table:
    """Per model served: what a request and 1000 tokens take."""
    rows = served(figures)
    grams = [{**r, "wh_request": _per(r["energy_wh_per_request"]), "wh_tokens": _per(r["energy_wh_per_1000_tokens"])} for r in rows]
    for row in grams:
        for scope in ("location", "upstream", "embodied"):
            row[f"{scope}_request"] = _per(row[f"{scope}_g_per_request"])
        row["location_tokens"] = _per(row["location_g_per_1000_tokens"])
    return table("Inference per request and per 1000 tokens", grams, (
        words("Model", grams, "model"), counts("Requests", grams, "requests"), amounts("IT energy per request", grams, "wh_request", ENERGY),
        amounts("Location-based per request", grams, "location_request", MASS, CO2E, "no_location_kwh"),
        amounts("Upstream per request", grams, "upstream_request", MASS, CO2E), amounts("Embodied per request", grams, "embodied_request", MASS, CO2E),
        amounts("IT energy per 1000 tokens", grams, "wh_tokens", ENERGY), amounts("Location-based per 1000 tokens", grams, "location_tokens", MASS, CO2E)))


def data_movement(figures: Figures) -> Table:
    """Per medium and pair of sites."""
    rows = figures.data_movement
    ranges = [{**r, "range": ENERGY.shown_range(r['low_kwh'], r['high_kwh']) if r["low_kwh"] is not None else None} for r in rows]
    return table("Data moved between sites", ranges, (
        words("Medium", ranges, "medium"), words("From", ranges, "from_site"), words("To", ranges, "to_site"), amounts("Moved", ranges, "moved_gb", DATA),
        amounts("Network energy", ranges, "energy_kwh", ENERGY, "", "no_energy_gb"), words("Range", ranges, "range"),
        amounts("Location-based", ranges, "location_kg", MASS, CO2E, "no_location_gb"), amounts("Embodied", ranges, "embodied_kg", MASS, CO2E),
        words("Factor", ranges, "factor", "none known")))


def embodied(figures: Figures) -> Table:
    """Per model of hardware."""
    rows = figures.embodied
    return table("Embodied emissions accrued, by model of hardware", rows, (
        words("Hardware", rows, "sku", "(no model named)"), counts("Items", rows, "items"),
        amounts("Accrued", rows, "embodied_kg", MASS, CO2E, "unknown_days"), amounts("Reserved by jobs", rows, "job_kg", MASS, CO2E),
        words("Factor", rows, "factor"), _said("Life since, or why unknown", rows, "basis", _EMBODIED_BASES)))


def quality(figures: Figures) -> Table:
    """Rejects, unknown factors, classes and flags."""
    rows = [{**r, "topic": _TOPICS.get(r["topic"], r["topic"]), "subject": _SUBJECTS.get((r["topic"], r["subject"]), r["subject"]),
             "emissions": {True: "known", False: "unknown", None: "–"}[r["emissions_known"]]} for r in figures.quality]
    energy = amounts("Energy", rows, "energy_kwh", ENERGY)
    portion = shares("Share", rows, "energy_share")
    return table("Data quality", rows[:_ROWS], (
        words("Topic", rows[:_ROWS], "topic"), words("Subject", rows[:_ROWS], "subject"), counts("Rows", rows[:_ROWS], "rows"),
        _dashed(energy), _dashed(portion), words("Emissions", rows[:_ROWS], "emissions")), len(rows))


def silent(figures: Figures) -> Table:
    """What the inventory names and nothing reads."""
    rows = figures.silent[:_ROWS]
    return table("Silent machines and devices", rows, (
        words("Machine", rows, "node"), words("Device", rows, "item"), words("Site", rows, "site"), words("What", rows, "note"),
        instants("Last reading, UTC", rows, "last_utc"), numbers("Silent for", rows, "silent_h", "h")), len(figures.silent))


def unread(figures: Figures) -> Table:
    """Jobs in which nothing was read, and why."""
    rows = figures.unread[:_ROWS]
    return table("Jobs without energy", rows, (
        words("Job", rows, "job"), words("Machine", rows, "node"), words("Device", rows, "item"), words("Model", rows, "model", "(none)"),
        words("Team", rows, "team", "(none)"), instants("Start, UTC", rows, "start_utc"), amounts("Duration", rows, "duration_h", DURATION),
        words("Why", rows, "note")), len(figures.unread))


def factors(figures: Figures) -> Table:
    """External figures with their sources."""
    rows = [{**r, "standing": "estimate or default" if r["estimated"] else "given",
             "value": f"{digits(r['low'])} {r['unit']}" if r["low"] == r["high"] else f"{digits(r['low'])} to {digits(r['high'])} {r['unit']}"}
            for r in figures.factors]
    return table("Factors in use", rows, (
        words("Kind", rows, "kind"), words("For", rows, "subject"), words("Value", rows, "value"), words("Standing", rows, "standing"),
        counts("Versions", rows, "versions"), instants("Valid from", rows, "valid_from_utc", "%Y-%m-%d"), words("Source", rows, "source")))


def _said(label: str, rows: Sequence[Row], key: str, words_for: Mapping[str, str]) -> Column:
    """A column of codes, several in a cell parted by '; ', in words."""
    return Column(label, ["; ".join(words_for.get(code, code) for code in row[key].split("; ")) for row in rows])


def _dashed(column: Column) -> Column:
    """Where a figure makes no sense a dash, not 'unknown'."""
    return Column(column.label, ["–" if cell == "unknown" else cell for cell in column.cells[:_ROWS]], column.numeric, column.unit)


def _mass(value: float | None) -> str:
    return f"{MASS.shown(value)} {CO2E}" if value is not None else MASS.shown(value)


def _counted(number: int | None, noun: str) -> str:
    return f"{number or 0:,} {noun}{'' if number == 1 else 's'}"


def _unknown(what: str, energy_kwh: float | None) -> str:
    return f"{ENERGY.shown(energy_kwh)} {what}" if energy_kwh else ""


def _plus(*values: float | None) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _per(value: float | None) -> float | None:
    """Wh to kWh, or g to kg."""
    return None if value is None else value / 1000
