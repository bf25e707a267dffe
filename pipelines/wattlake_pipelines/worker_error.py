"""What went wrong in a Beam worker, as its user is told: runners pass on a worker's traceback as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.plain_words import plainly

#: An error of ours within the text of another; what Beam adds in brackets is of no use to anyone.
_OURS = re.compile(r"^wattlake_[a-z_.]+\.\w+Error: (?P<said>.*?)(?: \[while running .*)?$(?:\n  next: (?P<step>.*?)(?: \[while running .*)?$)?", re.MULTILINE)


#: What Python writes between the tracebacks of errors that led to one another.
_BETWEEN = ("Traceback (most recent call last)", "During handling of the above exception", "The above exception was the direct cause")

#: What comes before an error's words as Python prints it.
_NAMED = re.compile(r"^(?:[a-z_]\w*\.)*[A-Z]\w*: (?:\[Errno -?\d+\] )?")


def cause(error: BaseException) -> str:
    """What went wrong, on one line: the words of the error, or of the one that the traceback in its text ends with."""
    text = str(error)
    if _BETWEEN[0] in text:
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith((" ", *_BETWEEN))]
        if lines:
            text = lines[-1].partition(" [while running ")[0]
            return _NAMED.sub("", text) or text
    text, by_beam, _ = plainly(error).partition(" [while running ")
    if by_beam and isinstance(error, RuntimeError):
        text = _NAMED.sub("", text) or text
    return " ".join(text.split())


@contextmanager
def told() -> Iterator[None]:
    """A pipeline's run. WattlakeError if a worker raised one, whatever the runner makes of it; any other error as it is."""
    try:
        yield
    except WattlakeError as error:
        # Beam makes it anew with a word on the step, and without its subject and next step
        original = error.__context__
        if isinstance(original, WattlakeError) and "[while running" in error.what:
            raise original from original.__cause__
        raise
    except Exception as error:
        found = list(_OURS.finditer(str(error)))
        if not found:
            raise
        # of the same error told twice, the one that says what to do
        ours = next((match for match in reversed(found) if match["step"]), found[-1])
        raise WattlakeError(ours["said"], next_step=ours["step"] or "") from error
