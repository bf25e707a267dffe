"""Accounting as a Beam pipeline: elements name files and hours; workers read, compute and stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread

import apache_beam as beam
import msgspec

from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.account.element import DayElement, compute
from wattlake_pipelines.account.spread import MAKERS, SpreadElement
from wattlake_pipelines.beam_pipeline import beam_pipeline
from wattlake_pipelines.lake.manifest import StagedFile

PART = "account-{}.json"
_COUNT_EVERY_S = 0.5


@dataclass(frozen=True)
class AccountPart:
    """What one worker made. opened: raw files that it read from."""

    files: list[StagedFile]
    opened: list[str]


class Account(beam.DoFn):
    """An element → staged files, and a part file that lists them."""

    def __init__(self, staging: str, attempt: str) -> None:
        self._staging, self._attempt = staging, attempt

    def process(self, element: tuple[int, DayElement | SpreadElement]) -> Iterator[str]:
        """Make one element."""
        number, work = element
        folder = Path(self._staging)
        if isinstance(work, DayElement):
            made = AccountPart(compute(work, folder, self._attempt), sorted({raw.path for stretch in work.stretches for raw in stretch.raw}))
        else:
            made = AccountPart(MAKERS[work.kind](work, folder, self._attempt), [])
        name = PART.format(number)
        (folder / name).write_bytes(msgspec.json.encode(asdict(made)))
        yield name


@contextmanager
def _counted(staging: Path, total: int, progress: Callable[[int, int], None] | None) -> Iterator[None]:
    """Tell how many elements have answered, by the files that they leave: whatever the runner, those are seen."""
    if progress is None:
        yield
        return
    done = Event()

    def count() -> None:
        while not done.wait(_COUNT_EVERY_S):
            progress(sum(1 for _ in staging.glob(PART.format("*"))), total)

    counter = Thread(target=count, daemon=True)
    counter.start()
    try:
        yield
    finally:
        done.set()
        counter.join()
    progress(total, total)


def account_pipeline(elements: Sequence[DayElement | SpreadElement], staging: Path, attempt: str, options: Sequence[str],
                     progress: Callable[[int, int], None] | None = None) -> list[AccountPart]:
    """Run the pipeline over the elements and give what its workers made; every element must have answered.

    progress: hears (elements done, elements) now and then. WattlakeError if one has not, or as of beam_pipeline.
    """
    with _counted(staging, len(elements), progress), beam_pipeline(options) as pipeline:
        _ = (
            pipeline
            | "Work" >> beam.Create(list(enumerate(elements)), reshuffle=len(elements) > 1)
            | "Account" >> beam.ParDo(Account(str(staging), attempt)).with_output_types(str)
        )
    parts = [staging / PART.format(number) for number in range(len(elements))]
    if missing := sum(1 for part in parts if not part.exists()):
        raise WattlakeError(f"{missing} of {len(elements)} elements of accounting were not made", subject=str(staging.parent.parent),
                            next_step="nothing was committed: run the same command again; if it stays so, without Beam's options, for the runner loses work")
    return [msgspec.json.decode(part.read_bytes(), type=AccountPart) for part in parts]
