"""Spans of time cut where their holders change, and who holds each piece (docs/accounting.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattlake_pipelines.account.kernels.ranges import Ints, expand, group_starts

_WHOLE_PPM = 1_000_000


@dataclass(frozen=True)
class Cells:
    """Pieces of spans. span: the span each lies in, ascending; start_ms, end_ms: in order of time within it."""

    span: Ints
    start_ms: Ints
    end_ms: Ints


@dataclass(frozen=True)
class Weights:
    """One row per cell and holder, sorted by cell and holder. holder: a job's code, or -1 for
    `unattributed`, which comes last in every cell. weight: ppm."""

    cell: Ints
    holder: Ints
    weight: Ints


def cut(start_ms: Ints, end_ms: Ints, span: Ints, from_ms: Ints, to_ms: Ints, holder: Ints, share_ppm: Ints) -> tuple[Cells, Weights]:
    """Cut spans at the edges of the stretches in which they are held, and weigh the holders.

    start_ms, end_ms: per span, start < end. span, from_ms, to_ms, holder, share_ppm: per stretch,
    from < to and both within its span. In a cell the weight of a holder is the greatest share of its
    stretches that cover it; what is left of a million is unattributed, 0 if nothing is.
    """
    spans = len(start_ms)
    of = np.concatenate([np.arange(spans), np.arange(spans), span, span])
    at = np.concatenate([start_ms, end_ms, from_ms, to_ms])
    order = np.lexsort((at, of))
    of, at = of[order], at[order]
    heads = group_starts(of, at)
    new = np.zeros(len(at), np.int64)
    new[heads] = 1
    place = np.empty(len(at), np.int64)
    place[order] = np.cumsum(new) - 1
    of, at = of[heads], at[heads]
    is_cell = of[:-1] == of[1:] if len(of) else np.zeros(0, bool)
    first = np.flatnonzero(is_cell)
    cells = Cells(of[first], at[first], at[first + 1])

    cell_of = np.cumsum(is_cell) - is_cell  # the cell that begins at an edge
    low = cell_of[place[2 * spans:2 * spans + len(span)]]
    count = place[2 * spans + len(span):] - place[2 * spans:2 * spans + len(span)]
    stretch, cell = expand(low, count)
    order = np.lexsort((share_ppm[stretch], holder[stretch], cell))
    cell, who, weight = cell[order], holder[stretch][order], share_ppm[stretch][order]
    greatest = np.append(group_starts(cell, who)[1:], len(cell)) - 1 if len(cell) else np.zeros(0, np.int64)
    cell, who, weight = cell[greatest], who[greatest], weight[greatest]
    held = np.zeros(len(first), np.int64)
    np.add.at(held, cell, weight)
    everyone = np.arange(len(first))
    cell = np.concatenate([cell, everyone])
    order = np.argsort(cell, kind="stable")  # unattributed was put behind all jobs and stays there
    who = np.concatenate([who, np.full(len(first), -1, np.int64)])
    weight = np.concatenate([weight, np.maximum(_WHOLE_PPM - held, 0)])
    return cells, Weights(cell[order], who[order], weight[order])
