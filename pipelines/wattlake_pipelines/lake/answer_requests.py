"""The committer's side of requests: each that waits is done or refused, exactly once, in a commit of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.lake import keys, request_files
from wattlake_pipelines.lake.committer import CommitRefusedError, Committer, OutcomeUnknownError, SupersededError
from wattlake_pipelines.lake.keys import Add, Change, End
from wattlake_pipelines.lake.request_files import Answer, UnfitError


def answer_requests(committer: Committer, heard: Callable[[str], None] | None = None) -> None:
    """Do what is asked, in the order in which it was. heard: what to tell of each.

    The lake remembers by its commits which requests it has done, so one that a committer did before
    it was killed is not done again. What cannot be committed just now waits on: the errors are those of
    Committer.commit. RequestFolderError if the folder cannot be used.
    """
    lake = committer.lake
    request_files.make_folder(lake)
    for name in request_files.waiting(lake):
        if not request_files.take(lake, name):
            continue
        if not request_files.is_answered(lake, name):
            try:
                what, said = _do(committer, name)
            except (SupersededError, OutcomeUnknownError):
                # to whoever comes next
                raise
            except CommitRefusedError:
                request_files.let_go(lake, name)
                raise
            request_files.answer(lake, name, said)
            if heard is not None:
                heard(f"asked to {what}: {'done' if said.refused is None else f'refused, {said.refused}'}")
        request_files.close(lake, name)
    request_files.sweep(lake)


def _do(committer: Committer, name: str) -> tuple[str, Answer]:
    """(what was asked, what came of it)."""
    try:
        request = request_files.read(committer.lake, name)
    except UnfitError as error:
        return "do something", Answer(f"the request {error}", f"request {name}", "run the command again, of the same version as the follower")
    what = _in_words(request.change)
    if keys.is_made(committer, name):
        return what, Answer()
    now_ms = time.time_ns() // 1_000_000
    if abs(now_ms - request.asked_ms) > request_files.OLD_MS:
        why = f"it was asked at {_utc(request.asked_ms)}, and now it is {_utc(now_ms)}: more than an hour apart"
        return what, Answer(why, f"request {name}", "set the clocks right if they are not, and run the command again")
    try:
        keys.make(committer, request.change, name)
    except (CommitRefusedError, OutcomeUnknownError):
        raise
    except WattlakeError as error:
        committer.refuse_if_superseded()
        return what, Answer(error.what, error.subject, error.next_step, error.exit_code)
    return what, Answer()


def _in_words(change: Change) -> str:
    doing = "add a key" if isinstance(change, Add) else "end a key" if isinstance(change, End) else "waive the signatures"
    return f"{doing} of node {change.node[:100]!r}"


def _utc(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
