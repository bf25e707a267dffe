"""A quality gate: rules over one query's rows, each blocking or not; made from the contracts or written here."""

from __future__ import annotations

from dataclasses import dataclass

from wattlake_contracts.column import Column
from wattlake_contracts.table import Table
from wattlake_contracts.tables import TABLES

#: The least share of a day that a device should have been read in; below it a figure leans on gaps.
COVERAGE_WANTED = 0.9
#: Tables whose every column is held against the contract.
CHECKED_LAYERS = ("fact", "dim")


@dataclass(frozen=True)
class Rule:
    """One expectation of a column. form: `not_null`, `between`, `in_set` or `none` (any row with a value breaks it).

    blocking: whether a failure makes `wattlake check` fail. why: what it means if it does.
    """

    form: str
    columns: tuple[str, ...]
    why: str
    blocking: bool = True
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gate:
    """A named set of rules over the rows of a query."""

    name: str
    query: str
    rules: tuple[Rule, ...]


def contract_gate(table: Table) -> Gate:
    """The gate of a lake table: what the contract says of each of its columns."""
    return Gate(table.name, f"SELECT * FROM {table.name}", tuple(rule for column in table.columns for rule in _column_rules(column)))


def key_gate(table: Table) -> Gate:
    """The gate of a lake table's key: its rows are those keys that more than one row has, over the whole table."""
    key = ", ".join(table.key)
    words = ", ', ', ".join(f"'{name}=', coalesce(CAST({name} AS VARCHAR), 'NULL')" for name in table.key)
    return Gate(f"{table.name}_key", f"SELECT concat({words}) AS repeated_key, count(*) AS rows FROM {table.name} GROUP BY {key} HAVING count(*) > 1", (
        Rule("none", ("repeated_key",), f"two rows of one key ({key}): something counts twice"),))


def _column_rules(column: Column) -> list[Rule]:
    rules = []
    if column.required:
        rules.append(Rule("not_null", (column.name,), f"{column.name} must be given"))
    if column.minimum is not None or column.maximum is not None:
        rules.append(Rule("between", (column.name,), f"{column.name} outside its bounds", minimum=column.minimum, maximum=column.maximum))
    if column.choices:
        rules.append(Rule("in_set", (column.name,), f"{column.name} is none of its values", choices=column.choices))
    return rules


def _zero(name: str, why: str) -> Rule:
    return Rule("between", (name,), why, minimum=0, maximum=0)


INVARIANTS: tuple[Gate, ...] = (
    Gate("closure", "SELECT * FROM closure", (
        _zero("lines_difference_mj", "a device's energy is on a line that is none of the four"),
        _zero("classes_difference_mj", "a device's energy is of no class"),
    )),
    Gate("counters", """
        SELECT node, device, simulated, counter_mj, facts_mj,
               if(unexplained_mj <> 0, concat(node, ' ', device, ': ', difference_mj, ' mJ'), NULL) AS unexplained,
               if(unexplained_mj = 0 AND difference_mj <> 0, concat(node, ' ', device, ': ', difference_mj, ' mJ, ', note), NULL) AS explained
        FROM counters""", (
        Rule("none", ("unexplained",), "the facts are not what the hardware counted, and no rule of accounting says why"),
        Rule("none", ("explained",), "the facts are not what the hardware counted, for a reason that is known", blocking=False),
    )),
    Gate("emissions_follow_energy", """
        SELECT start_ms, coalesce(e.rows, 0) - coalesce(m.rows, 0) AS rows_difference, coalesce(e.mj, 0) - coalesce(m.mj, 0) AS energy_difference_mj
        FROM (SELECT start_ms, count(*) AS rows, CAST(sum(energy_mj) AS BIGINT) AS mj FROM fact_energy GROUP BY start_ms) e
        FULL JOIN (SELECT start_ms, count(*) AS rows, CAST(sum(energy_mj) AS BIGINT) AS mj FROM fact_emissions GROUP BY start_ms) m USING (start_ms)""", (
        _zero("rows_difference", "energy and emissions have different rows"),
        _zero("energy_difference_mj", "energy and emissions rest on different joules"),
    )),
    Gate("coverage", "SELECT * FROM coverage", (
        Rule("between", ("coverage",), "a device was read for less of the time than wanted", blocking=False, minimum=COVERAGE_WANTED, maximum=1),
        Rule("between", ("coverage",), "a coverage that is no share", minimum=0, maximum=1),
    )),
    Gate("silent", """
        SELECT *, if(item = '(machine)' OR last_utc IS NOT NULL,
                     concat(node, if(item = '(machine)', '', ' ' || item), ': no reading ', coalesce('since ' || strftime(last_utc, '%Y-%m-%d %H:%M'), 'ever')),
                     NULL) AS missed FROM silent""", (
        Rule("none", ("missed",), "the inventory names it and nothing reads it: look after its agent, or retire it", blocking=False),
    )),
    Gate("long_gaps", """
        SELECT concat(node, ' ', device, ': from ', strftime(from_utc, '%Y-%m-%d %H:%M'), ' to ', strftime(to_utc, '%Y-%m-%d %H:%M'),
                      if(energy_mj IS NULL, '', concat(', ', energy_mj, ' mJ'))) AS unspread
        FROM long_gaps
        UNION ALL
        SELECT concat('serving of ', model, ': from ', strftime(make_timestamp(from_ms * 1000), '%Y-%m-%d %H:%M'), ' to ',
                      strftime(make_timestamp(ts_ms * 1000), '%Y-%m-%d %H:%M'))
        FROM (SELECT model, ts_ms, lag(ts_ms) OVER (PARTITION BY model, node, job, site, unit, epoch ORDER BY ts_ms) AS from_ms FROM raw_serving)
        WHERE ts_ms - from_ms > longest_gap_ms()""", (
        Rule("none", ("unspread",), "more than 400 days without a reading: what was counted meanwhile is in no period; was a clock years off?", blocking=False),
    )),
    Gate("jobs_without_energy", "SELECT *, concat(job, ' on ', node, if(item = '(machine)', '', ' ' || item), ': ', note) AS unread FROM jobs_without_energy", (
        Rule("none", ("unread",), "nothing was read while a job ran, so its energy is unknown: is its device mistyped, was an agent there?", blocking=False),
    )),
    Gate("oversubscribed", """
        SELECT concat(node, ' ', device, ': ', string_agg(DISTINCT job, ', ' ORDER BY job)) AS shared
        FROM fact_energy WHERE job IS NOT NULL AND list_contains(string_split(flags, ','), 'oversubscribed') GROUP BY node, device""", (
        Rule("none", ("shared",), "jobs held more of a device than there is, so its energy is split by their shares: nested jobs, or shares not given",
             blocking=False),
    )),
    Gate("conflicts", """
        SELECT concat(node, ' ', device, ': in ', count(DISTINCT start_ms // 3600000), ' hour', if(count(DISTINCT start_ms // 3600000) = 1, '', 's'),
                      ' from ', strftime(make_timestamp(min(start_ms) * 1000), '%Y-%m-%d %H:%M')) AS told_twice
        FROM fact_energy WHERE list_contains(string_split(flags, ','), 'conflict') GROUP BY node, device
        UNION ALL
        SELECT concat('serving of ', model, ': at ', count(*), ' instant', if(count(*) = 1, '', 's'),
                      ' from ', strftime(make_timestamp(min(ts_ms) * 1000), '%Y-%m-%d %H:%M'))
        FROM (SELECT model, ts_ms FROM raw_serving GROUP BY model, node, job, site, unit, epoch, ts_ms
              HAVING count(DISTINCT (requests, tokens_in, tokens_out, tokens_cached, units)) > 1) GROUP BY model""", (
        Rule("none", ("told_twice",), "two values of a counter at one instant: the greater is taken, whichever came last: two writers, or a correction?",
             blocking=False),
    )),
    Gate("known_emissions", "SELECT node, coalesce(site, '') AS site, count(*) - count(location_ug) AS without_factor FROM fact_emissions GROUP BY ALL", (
        Rule("between", ("without_factor",), "energy without a grid figure: import the node's site, or its zone's grid", blocking=False, minimum=0, maximum=0),
    )),
    Gate("rejects", "SELECT coalesce(kind, 'damaged log') AS kind, count(*) AS rejected FROM rejects GROUP BY ALL", (
        Rule("between", ("rejected",), "rows that could not be used: see `wattlake sql \"SELECT * FROM rejects\"`", blocking=False, minimum=0, maximum=0),
    )),
)


def gates() -> tuple[Gate, ...]:
    """Every gate, in the order in which they are run."""
    return (*(made(t) for t in TABLES.values() if t.layer in CHECKED_LAYERS for made in (contract_gate, key_gate)), *INVARIANTS)
