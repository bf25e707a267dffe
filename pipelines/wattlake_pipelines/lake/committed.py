"""Reading what is committed: a file that is gone or damaged is named, whichever process reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from wattlake_contracts.errors import WattlakeError


@contextmanager
def committed(path: str) -> Iterator[None]:
    """Work that reads a file of the lake. WattlakeError if it is not there, or not as it was written."""
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        # the rest of what Arrow says is about itself
        said = str(error).partition("\n")[0]
        raise WattlakeError(f"cannot be read: {said}", subject=path,
                            next_step="`wattlake lake verify` names all that is damaged; restore it from a backup, "
                                      "or make the lake again from the log") from error
