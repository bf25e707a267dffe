"""Where spans differ, against looking at every instant."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from wattlake_pipelines.account.changes import changed_spans
from wattlake_pipelines.account.overlay import overlay

span = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 10), st.integers(1, 5), st.sampled_from(["x", "y", None]))
SCHEMA = pa.schema([("key", pa.string()), ("start_ms", pa.int64()), ("end_ms", pa.int64()), ("what", pa.string())])


def _table(spans: list[tuple[str, int, int, str | None]]) -> pa.Table:
    return pa.Table.from_pylist([{"key": k, "start_ms": s, "end_ms": s + n, "what": w} for k, s, n, w in spans], SCHEMA)


@settings(max_examples=300, deadline=None)
@given(st.lists(span, max_size=6), st.lists(span, max_size=6))
def test_changed_spans_are_the_instants_that_differ(old: list, new: list) -> None:
    def holds(spans: list, key: str, at: int) -> set[str]:
        return {repr(w) for k, s, n, w in spans if k == key and s <= at < s + n}

    found = {(k, at) for k, s, e in changed_spans(_table(old), _table(new), "key", ["what"]) for at in range(s, e)}
    assert found >= {(k, at) for k in "ab" for at in range(16) if holds(old, k, at) != holds(new, k, at)}
    touched = {(k, at) for spans in (set(old) - set(new), set(new) - set(old)) for k, s, n, _ in spans for at in range(s, s + n)}
    assert found <= touched


def test_an_end_moved_on_touches_only_what_was_added() -> None:
    assert changed_spans(_table([("a", 0, 5, "x")]), _table([("a", 0, 9, "x")]), "key", ["what"]) == [("a", 5, 9)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["s", "t", None]), st.integers(0, 20), st.integers(1, 9)), max_size=4),
       st.lists(st.booleans(), min_size=12, max_size=12))
def test_an_overlay_is_what_holds_at_each_instant(bases: list, pattern: list) -> None:
    other = pa.Table.from_pylist([{"site": site, "start_ms": i * 3, "end_ms": i * 3 + 2, "zone": f"{site}{i}"}
                                  for site in ("s", "t") for i, there in enumerate(pattern[:6] if site == "s" else pattern[6:]) if there],
                                 pa.schema([("site", pa.string()), ("start_ms", pa.int64()), ("end_ms", pa.int64()), ("zone", pa.string())]))
    base = pa.Table.from_pylist([{"node": str(i), "site": s, "start_ms": a, "end_ms": a + n} for i, (s, a, n) in enumerate(bases)],
                                pa.schema([("node", pa.string()), ("site", pa.string()), ("start_ms", pa.int64()), ("end_ms", pa.int64())]))
    made = overlay(base, other, "site", {"zone": "zone"}).to_pylist()
    for i, (site, start, length) in enumerate(bases):
        mine = [m for m in made if m["node"] == str(i)]
        for at in range(start, start + length):
            zones = [m["zone"] for m in mine if m["start_ms"] <= at < m["end_ms"]]
            expected = [o["zone"] for o in other.to_pylist() if o["site"] == site and o["start_ms"] <= at < o["end_ms"]]
            assert zones == (expected or [None])
