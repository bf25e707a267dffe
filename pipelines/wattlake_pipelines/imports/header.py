"""The header of an import file: which column of the kind each of its columns fills."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from wattlake_contracts.column import Column, Input
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.kind import Kind


def match(kind: Kind, names: Sequence[str], subject: str) -> dict[str, tuple[Column, Input]]:
    """For each column name of the file the column it fills and how it is written.

    WattlakeError names an unknown column and the nearest known one, a column that stands there
    twice or in two spellings, and what is missing.
    """
    known = kind.inputs
    found: dict[str, tuple[Column, Input]] = {}
    spelling: dict[str, str] = {}
    for i, name in enumerate(names, 1):
        if not name:
            raise WattlakeError(f"column {i} has no name", subject=subject, next_step="name it in the first line, or take it out")
        if name not in known:
            raise WattlakeError(f"unknown column {name!r}", subject=subject, next_step=_nearest(kind, name))
        if name in found:
            raise WattlakeError(f"column {name!r} stands there twice", subject=subject, next_step="keep one of them")
        column, _ = known[name]
        if column.name in spelling:
            both = f"{spelling[column.name]} and {name}"
            raise WattlakeError(f"{both} are two spellings of one column", subject=subject, next_step="keep one of them")
        spelling[column.name] = name
        found[name] = known[name]
    lacking = [name for name in kind.required_inputs if known[name][0].name not in spelling]
    if lacking:
        raise WattlakeError(f"lacks the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}", subject=subject,
                            next_step=f"a file of {kind.name} needs {', '.join(kind.required_inputs)}")
    for rule in kind.rules:
        if rule.form in {"any_of", "one_of"} and not any(c in spelling for c in rule.columns):
            wanted = " or ".join(kind.column(c).accepted_inputs[0].name for c in rule.columns)
            raise WattlakeError(f"lacks the column {wanted}", subject=subject, next_step=f"a file of {kind.name} needs one of them")
    return found


def _nearest(kind: Kind, name: str) -> str:
    listed = f"columns of {kind.name}: {', '.join(kind.inputs)}"
    if any(mark in name for mark in ";\t|"):
        return f"is the file separated by something else than commas? {listed}"
    stored = {c.name: c.accepted_inputs[0].name for c in kind.columns if c.accepted_inputs}
    near = stored.get(name) or next(iter(get_close_matches(name.strip().lower(), kind.inputs, n=1, cutoff=0.5)), "")
    return f"did you mean {near}? {listed}" if near else listed
