"""`wattlake run --follow`: small rounds of landing and accounting, one after the other, until told to stop."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.account.account import account
from wattlake_pipelines.lake import request_files
from wattlake_pipelines.lake.answer_requests import answer_requests
from wattlake_pipelines.lake.committer import CommitRefusedError, Committer, SupersededError
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.request_files import RequestFolderError
from wattlake_pipelines.lake.room import is_full, room_in
from wattlake_pipelines.land.kafka_source import GapError
from wattlake_pipelines.land.land import land
from wattlake_pipelines.land.source import Source, Withheld
from wattlake_pipelines.worker_error import cause

#: A round takes no more than this of the log, so that a backlog is worked off in steps that each end in a commit.
ROUND_BYTES = 64 * 2**20
#: So many commits make so many small files; upkeep makes them few again.
_MAINTAIN_ROUNDS = 40
_KEEP_DAYS = 7.0
#: A broker that is away is waited for ten seconds by each try as well.
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 8.0
#: So often it is looked between rounds whether something is asked.
_LOOK_S = 1.0


@dataclass
class Followed:
    """What following did so far. failures: rounds that failed and were tried again.

    unknown: as of Landed.
    """

    rounds: int = 0
    records: int = 0
    rows: int = 0
    rejects: int = 0
    failures: int = 0
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)


def follow(committer: Committer, source: Source, *, every_s: float, round_bytes: int, stop: threading.Event, options: Sequence[str] = (), pieces: int = 1,
           heard: Callable[[Followed], None] | None = None, failed: Callable[[WattlakeError], None] | None = None,
           withheld: Callable[[Sequence[Withheld]], None] | None = None, asked: Callable[[str], None] | None = None) -> Followed:
    """Land and account what comes, each every_s seconds or as fast as it goes, until stop is set; a round that is begun is ended.

    Between rounds it does what other processes ask; the log does not wait for what cannot be done just now. Whatever fails (brokers away, a
    full disk) is told and tried again, less and less often. Only GapError and a newer committer end it: both need somebody's decision.
    What has landed already is accounted for where landing fails too, before a GapError ends it; not where the disk is full, or what failed is no error
    of ours, which leaves nothing to be relied on: then in the next round that gets so far.
    withheld: hears after each round what could not be landed from. asked: hears what was asked, and what came of it.
    """
    done = Followed()
    # what has landed and is not accounted for yet, as where accounting failed, or was killed before this began; what is not told of yet
    behind, untold = True, False
    # whether there may be such after a failure
    unsure = False
    retry_s = _FIRST_RETRY_S
    limit = min(round_bytes, ROUND_BYTES)
    requests = _Requests(committer, asked, failed)
    while not stop.is_set():
        began = time.monotonic()
        # why nothing could be landed, where what has landed can be accounted for all the same
        halted: WattlakeError | None = None
        try:
            with room_in(committer.lake):
                failure = requests.serve()
                try:
                    landed = land(committer, source, round_bytes=limit, pieces=pieces, options=options, max_rounds=1)
                except SupersededError:
                    raise
                except WattlakeError as error:
                    if is_full(error):
                        # landing comes first: accounting would take what room is left
                        raise
                    # it may have committed before it failed, as what had been set aside
                    halted, unsure = error, True
                else:
                    if withheld is not None:
                        withheld(landed.withheld)
                    done.records, done.rows, done.rejects = done.records + landed.records, done.rows + landed.rows, done.rejects + landed.rejects
                    done.unknown.update(landed.unknown)
                    behind, untold = behind or landed.rounds > 0, untold or landed.rounds > 0
                if behind or unsure:
                    account(committer, options=options)
                    counts, behind, unsure = behind and (halted is None or untold), False, False
                    if counts:
                        done.rounds += 1
                        if done.rounds % _MAINTAIN_ROUNDS == 0:
                            maintain(committer, keep_days=_KEEP_DAYS)
        except SupersededError as error:
            if halted is None:
                raise
            # the other one meets by itself what halted landing here
            raise error from halted
        except Exception as error:  # a worker's comes as a RuntimeError whatever it was: which of them may pass cannot be told by their class
            # landing may have committed before it failed
            unsure = True
            if not isinstance(error, WattlakeError):
                # of a disk that fails, and whatever DuckDB meets there: what that has left of the connection is not trusted
                committer.renew()
            failure = as_failed_round(error, committer.lake)
        else:
            if untold and heard is not None:
                heard(done)
                untold = False
        if isinstance(halted, GapError):
            if failure is not None:
                raise _with_what_failed_too(halted, failure) from failure
            raise halted
        # a job server that is away fails both alike
        failures = list({str(each): each for each in (failure, halted) if each is not None}.values())
        if not failures:
            retry_s = _FIRST_RETRY_S
            _pause(stop, began + every_s, committer, requests.seen)
            continue
        done.failures += 1
        if failed is not None:
            for each in failures:
                failed(each)
        stop.wait(retry_s)
        retry_s = min(2 * retry_s, _LAST_RETRY_S)
    return done


def as_failed_round(error: Exception, lake: Path) -> WattlakeError:
    """What is told of a round that failed with this: the error itself if it is one of ours."""
    return error if isinstance(error, WattlakeError) else WattlakeError(
        f"a round failed: {cause(error)}", subject=str(lake), next_step="see to the disk if it stays so; `wattlake --debug run` shows where it comes from")


def _with_what_failed_too(gap: GapError, failure: WattlakeError) -> GapError:
    """A gap with what failed in its round beside it: the gap ends following, so nobody would tell that again."""
    what = ": ".join(part for part in (failure.subject, failure.what) if part)
    return GapError(f"{gap.what}; and in the same round this failed: {what}", subject=gap.subject,
                    next_step=f"{gap.next_step}. As to the other: {failure.next_step or 'it is tried again by the next run'}")


class _Requests:
    """What other processes ask. seen: the requests that waited when they were last served. The log waits for none that cannot be done just now."""

    def __init__(self, committer: Committer, asked: Callable[[str], None] | None, failed: Callable[[WattlakeError], None] | None) -> None:
        self._committer, self._asked, self._failed = committer, asked, failed
        self.seen: list[str] = []
        #: what was last told of a folder that cannot be used
        self._told = ""

    def serve(self) -> WattlakeError | None:
        """Do what is asked; the error, if it waits on because its commit is refused. SupersededError as of Committer.commit."""
        self.seen = []
        try:
            self.seen = request_files.waiting(self._committer.lake)
            answer_requests(self._committer, self._asked)
        except RequestFolderError as error:
            # it is told once
            if self._failed is not None and self._told != str(error):
                self._failed(error)
            self._told = str(error)
            return None
        except SupersededError:
            raise
        except CommitRefusedError as error:
            return error
        self._told = ""
        return None


def _pause(stop: threading.Event, until: float, committer: Committer, seen: Sequence[str]) -> None:
    """Wait for the next round: until then, or until something is asked. seen: requests that waited before the last one, and cannot be answered."""
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        stop.wait(min(left, _LOOK_S))
        try:
            if not set(seen).issuperset(request_files.waiting(committer.lake)):
                return
        except RequestFolderError:  # the next round tells it
            pass
