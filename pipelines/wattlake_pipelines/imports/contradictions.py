"""Rows of one file that say different things of one key: told at one time, they have no order in which the later one could hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from wattlake_contracts.kind import Kind
from wattlake_contracts.kinds import GRID, JOBS, TRANSFERS
from wattlake_pipelines.account.kernels.ordering import ranks, tuple_ranks

#: What changes no figure, or is the time of telling itself.
_UNCOMPARED = {"known_from_ms", "source", "event_ms", "lease_ms"}
_MARGINAL = {"marginal_g_per_kwh", "marginal_kind"}


def contradictions(table: pa.Table, kind: Kind, lines: np.ndarray, word: str = "line") -> list[str]:
    """A sentence that counts the keys of which the rows say different things, and names the first two lines; empty if there is none.

    table: accepted rows of the whole file with stored names. lines: of each row (int64). word: what
    a line is called. Only reference data, jobs and transfers are looked at: counters are judged where
    all of them are together.
    """
    if kind.topic != "reference" and kind.name not in ("nodes", JOBS.name, TRANSFERS.name):
        return []
    pairs = np.concatenate([_differing(rows, kind, at, compared) for rows, at, compared in _views(table, kind, lines)])
    if not len(pairs):
        return []
    count = len(pairs)
    first, second = pairs[np.argmin(pairs[:, 0])].tolist()
    names = ", ".join(kind.column(name).accepted_inputs[0].name for name in kind.key)
    one = count == 1
    return [f"{count:,} {'key' if one else 'keys'} ({names}) {'stands' if one else 'stand'} there more than once with different values, first on "
            f"{word}s {first} and {second}: rows of one file are told at one time, so that their content decides which of them holds, "
            "and not their order; keep one row of each"]


def _views(table: pa.Table, kind: Kind, lines: np.ndarray) -> Iterator[tuple[pa.Table, np.ndarray, list[str]]]:
    """The rows that compete with each other, their lines, and the columns in which they may differ."""
    compared = [c.name for c in kind.columns if c.name not in {*kind.key, *_UNCOMPARED}]
    if kind is not GRID:
        yield table, lines, compared
        return
    # what a kWh emits and what one more emits are resolved apart, each among the rows that have it
    for figure, of_it in (("direct_g_per_kwh", [n for n in compared if n not in _MARGINAL]), ("marginal_g_per_kwh", sorted(_MARGINAL))):
        given = table.column(figure).is_valid()
        yield table.filter(given), lines[given.to_numpy()], of_it


def _differing(rows: pa.Table, kind: Kind, lines: np.ndarray, compared: Sequence[str]) -> np.ndarray:
    """For each key of which rows differ its first line and the first that says something else; int64 of two columns."""
    if rows.num_rows < 2:
        return np.empty((0, 2), np.int64)
    keys = [rows.column(name) for name in kind.key]
    if "known_from_ms" in rows.column_names:
        keys.append(rows.column("known_from_ms"))  # what was known later holds
    if kind is JOBS:
        keys.append(pa.chunked_array([rows.column("end_ms").is_valid().combine_chunks()]))  # closed beats open
    key = tuple_ranks(keys)
    said = np.zeros(len(key), np.int64)
    for name in compared:
        place = ranks(rows.column(name))
        if kind is JOBS and name != "share_ppm":
            # a row that leaves something out takes nothing back
            most = np.zeros(int(key.max()) + 1, np.int64)
            np.maximum.at(most, key, place)
            place = np.where(place == 0, most[key], place)
        said = np.unique(said * (int(place.max(initial=0)) + 1) + place, return_inverse=True)[1].astype(np.int64)
    order = np.lexsort((lines, key))
    heads = np.flatnonzero(np.r_[True, key[order[1:]] != key[order[:-1]]])
    head_of = np.repeat(heads, np.diff(np.r_[heads, len(order)]))
    other = np.flatnonzero(said[order] != said[order[head_of]])
    # of each key the first row that differs from its first one
    _, firsts = np.unique(head_of[other], return_index=True)
    return np.stack([lines[order[head_of[other[firsts]]]], lines[order[other[firsts]]]], axis=1)
