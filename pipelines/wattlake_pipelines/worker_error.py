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
        error.next_step = error.next_step.partition(" [while running")[0]
        raise
    except Exception as error:
        found = list(_OURS.finditer(str(error)))
        if not found:
            raise
        raise WattlakeError(found[-1]["said"], next_step=found[-1]["step"] or "") from error
