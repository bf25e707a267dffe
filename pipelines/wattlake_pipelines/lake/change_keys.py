"""The command's side of requests: a change of keys is made here, or by the committer that holds the lake."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.lake import keys, meta, request_files
from wattlake_pipelines.lake.answer_requests import answer_requests
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.keys import Change
from wattlake_pipelines.lake.lock import AtWorkError
from wattlake_pipelines.lake.request_files import Answer, Request, RequestFolderError

#: How long a follower may take for the round that it is at.
PATIENCE_S = 60.0
#: What is taken already is done or refused within a commit's time.
_GRACE_S = 15.0
#: So often it is tried whether the lake is free by now; and so often, whether there is an answer.
_TRY_S, _LOOK_S = 5.0, 0.1


def change_keys(lake: Path, change: Change, *, take_over: bool = False, patience_s: float = PATIENCE_S, told: Callable[[str], None] | None = None) -> None:
    """Make a change of the book of keys; where another committer holds the lake, let it do so between two of its rounds.

    told: hears that it is waited for. Errors as of keys.check, before anybody is asked, and of keys.add, keys.end and keys.waive, whoever makes the change;
    AtWorkError if nobody has made it in time, and it is taken back; WattlakeError if it was taken, and not answered.
    """
    keys.check(change)
    meta.read(lake)
    try:
        with Committer(lake, take_over=take_over) as committer:
            if request_files.is_served(lake):
                try:
                    # what was asked before comes first
                    answer_requests(committer)
                except RequestFolderError as error:
                    if told is not None:
                        told(f"wattlake: {error}")
            keys.make(committer, change)
            return
    except AtWorkError as error:
        if not request_files.is_served(lake):
            raise
        at_work = error
    if told is not None:
        told(f"{at_work.what}\n  it is asked to do this between two rounds, which may take up to {patience_s:g} s")
    said = _ask(lake, Request(time.time_ns() // 1_000_000, change), patience_s, at_work)
    if (refused := said.error()) is not None:
        raise refused


def _ask(lake: Path, request: Request, patience_s: float, at_work: AtWorkError) -> Answer:
    name = request_files.put(lake, request)
    said = None
    try:
        said = _wait(lake, name, patience_s)
    finally:
        # also where this is interrupted
        taken_back = said is None and request_files.take_back(lake, name)
    if taken_back:
        raise AtWorkError(f"{at_work.what}; it has not come to this within {patience_s:g} s, and was asked no more: nothing has changed", subject=str(lake),
                          next_step=f"run this again later; or {at_work.next_step}")
    if said is None and (said := _wait(lake, name, _GRACE_S)) is None:
        raise WattlakeError(f"the committer at work has begun with this and does not come to an end (request {name})", subject=str(lake),
                            next_step="see `wattlake lake key list` whether it is done; if the committer was killed, the next follower does it")
    return said


def _wait(lake: Path, name: str, seconds: float) -> Answer | None:
    """The answer, if it comes within so many seconds. Should the lake be free meanwhile, the request is done here as a follower would."""
    began = tried = time.monotonic()
    while (said := request_files.answer_to(lake, name)) is None and time.monotonic() - began < seconds:
        if time.monotonic() - tried >= _TRY_S:
            tried = time.monotonic()
            try:
                with Committer(lake) as committer:
                    answer_requests(committer)
            except AtWorkError:
                pass
            continue
        time.sleep(_LOOK_S)
    return said
