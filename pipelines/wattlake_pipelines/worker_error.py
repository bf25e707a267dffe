"""What went wrong in a Beam worker, as its user is told: runners pass on a worker's traceback as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from wattlake_contracts.errors import WattlakeError

#: An error of ours within the text of another; what Beam adds in brackets is of no use to anyone.
_OURS = re.compile(r"^wattlake_[a-z_.]+\.\w+Error: (?P<said>.*?)(?: \[while running .*)?$(?:\n  next: (?P<step>.*?)(?: \[while running .*)?$)?", re.MULTILINE)


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
