"""Why JSON cannot be used, in the words of the other reasons in `rejects`: msgspec speaks of the types that it was given."""

from __future__ import annotations

import re

#: msgspec's words for a value of another type, or a number beyond what 64 bits hold; there is no place where the row itself is meant.
_TYPE = re.compile(r"Expected `(?P<wanted>[a-z]+)(?: \| null)?`, got `(?P<given>[a-z]+)`(?: - at `\$\.(?P<column>.+)`)?", re.DOTALL)
_BOUND = re.compile(r"Expected `int` (?P<side>[<>])= (?P<bound>-?\d+) - at `\$\.(?P<column>.+)`", re.DOTALL)
_RANGE = re.compile(r"Number out of range(?: - at `\$\.(?P<column>.+)`)?", re.DOTALL)
_WORDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "null", "object": "an object", "array": "an array"}


def json_words(error: BaseException) -> str:
    """What is wrong with JSON that msgspec could not make a row, or rows, of; what is no JSON at all in its own words, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, RecursionError):
        return "nested too deep"
    if found := _TYPE.fullmatch(text):
        subject = f"column {found['column']}" if found["column"] else "the row"
        if (found["wanted"], found["given"]) == ("int", "float"):
            return f"{subject} is a number that is not whole"
        return f"{subject} is {_WORDS.get(found['given'], found['given'])}, not {_WORDS.get(found['wanted'], found['wanted'])}"
    if found := _BOUND.fullmatch(text):
        return f"column {found['column']} is {'above' if found['side'] == '<' else 'below'} {found['bound']}, the {_END[found['side']]} that it may be"
    if found := _RANGE.fullmatch(text):
        subject = f"column {found['column']} is" if found["column"] else "it has"
        return f"{subject} a number beyond what can be held"
    return text


_END = {"<": "most", ">": "least"}
