"""Strings as codes, and where a column of strings changes, without making an object of any."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_pipelines.account.kernels.ranges import Ints, distinct

#: Rows handled at a time: the comparisons of a block stay in the processor's cache.
BLOCK = 1 << 16
#: Up to this many changes of length a block is compared piece by piece, bytes against bytes.
_PIECES = 64


@dataclass(frozen=True)
class Coded:
    """Strings as codes: code order is code-point order. code: int64 per row; words: the distinct strings, sorted."""

    code: Ints
    words: pa.Array


def code_strings(chunks: list[pa.Array]) -> Coded:
    """Codes in code-point order (Arrow orders strings by their UTF-8 bytes, which is the same). NULL is ''."""
    texts = pa.chunked_array([c if pa.types.is_dictionary(c.type) else c.dictionary_encode() for c in map(without_nulls, chunks)])
    one = texts.unify_dictionaries().combine_chunks()
    if isinstance(one, pa.ChunkedArray):
        one = one.chunk(0)
    words = one.dictionary.cast(pa.string())
    rank = pc.rank(words, tiebreaker="dense").to_numpy().astype(np.int64) - 1
    unique = pc.unique(words)
    return Coded(rank[one.indices.to_numpy()], unique.take(pc.sort_indices(unique)))


def without_nulls(array: pa.Array) -> pa.Array:
    """NULL as '', or as false."""
    if pa.types.is_dictionary(array.type):
        if array.null_count or array.dictionary.null_count:
            array = pc.fill_null(array.cast(pa.string()), "").dictionary_encode()
        return array
    if pa.types.is_string_view(array.type):  # Arrow can compare views, but not take from them
        array = array.cast(pa.string())
    if not array.null_count:
        return array
    return pc.fill_null(array, False if pa.types.is_boolean(array.type) else "")


def text_changes(texts: pa.Array) -> Ints:
    """The rows of a string array without nulls that differ from the one before; row 0 is none.

    Rows of one length lie in memory as a matrix, so that a shifted comparison of bytes finds where
    one differs from the next. Readings in order have few changes of length.
    """
    width: dict[pa.DataType, npt.DTypeLike] = {pa.string(): np.int32, pa.large_string(): np.int64}
    found = [np.zeros(0, np.int64)]
    if texts.type not in width or not texts.buffers()[2]:
        return _compared(texts, 0, len(texts) - 1)
    offsets = np.frombuffer(texts.buffers()[1], width[texts.type])[texts.offset:texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2], np.uint8)
    for low in range(0, len(texts) - 1, BLOCK):
        high = min(low + BLOCK, len(texts) - 1)
        lengths = offsets[low + 1:high + 2] - offsets[low:high + 1]
        longer = np.flatnonzero(lengths[1:] != lengths[:-1]) + (low + 1)
        if len(longer) > _PIECES:
            found.append(_compared(texts, low, high))
            continue
        found.append(longer)
        edges = [low, *longer.tolist(), high + 1]
        for begin, end in itertools.pairwise(edges):
            size = int(lengths[begin - low])
            held = data[int(offsets[begin]):int(offsets[end])]
            differs = held[size:] != held[:-size] if size else held[:0].astype(bool)
            if differs.any():
                found.append(distinct(np.flatnonzero(differs) // size) + (begin + 1))
    return distinct(*found)


def _compared(texts: pa.Array, low: int, high: int) -> Ints:
    """The rows in (low, high] that differ from the one before."""
    differs = pc.not_equal(texts[low + 1:high + 1], texts[low:high])
    return np.flatnonzero(differs.to_numpy(zero_copy_only=False)) + (low + 1)
