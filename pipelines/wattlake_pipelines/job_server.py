"""A pipeline on a job server, which may not be there, or go away: Beam would wait for it without a word."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import apache_beam as beam
import grpc

from wattlake_contracts.errors import WattlakeError

#: A server that is asked while the machine is busy answers within this; gRPC tries several times.
_PATIENCE_S = 5.0
_LOOK_S = 2.0
#: Of a server that is silent so many times in a row nothing is expected any more.
_SILENCES = 3
#: Beam's threads that listen to what a job server says of a job.
_BEAMS_LISTENERS = ("wait_until_finish_read", "wait_until_finish_state_observer")


@contextmanager
def reached(endpoint: str, patience_s: float) -> Iterator[grpc.Channel | None]:
    """A connection of its own to a server, as Beam makes them; None if nobody answers there within so many seconds."""
    # channels to one address else share a connection: that one could be of a server that has frozen since
    with grpc.insecure_channel(endpoint, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=patience_s)
        except grpc.FutureTimeoutError:
            yield None
        else:
            yield channel


def answers(endpoint: str) -> bool:
    """Whether a server answers there within seconds."""
    with reached(endpoint, _PATIENCE_S) as channel:
        return channel is not None


def check_answers(endpoint: str) -> None:
    """WattlakeError if no job server answers there."""
    if not answers(endpoint):
        raise WattlakeError(f"no job server answers at {endpoint}",
                            next_step="start it (`wattlake dev flink start` starts a Flink, and prints the options for Beam), then run the same command again")


def run_watched(pipeline: beam.Pipeline, endpoint: str) -> None:
    """Run a pipeline on the job server there and wait for its end; whatever it fails with is raised.

    WattlakeError if the server goes away meanwhile, within half a minute: Beam runs in a thread of its own, which may then wait for ever.
    """
    ended = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with pipeline:
                pass  # it runs when its block ends
        except BaseException as error:
            failures.append(error)
        finally:
            ended.set()

    with _listeners_are_quiet():
        threading.Thread(target=run, name="pipeline", daemon=True).start()
        silences = 0
        try:
            while not ended.wait(_LOOK_S):
                silences = 0 if answers(endpoint) else silences + 1
                if silences == _SILENCES:
                    raise _went_away(endpoint)
        except BaseException:
            # also where its user interrupts it
            _cancel(pipeline)
            raise
        if not failures:
            return
        [failure] = failures
        # one that is being stopped first ends its jobs
        if _is_lost(failure) or (not isinstance(failure, WattlakeError) and not answers(endpoint)):
            raise _went_away(endpoint) from failure
        raise failure


def _cancel(pipeline: beam.Pipeline) -> None:
    """Have the job server end the job, if it comes to that: one that has only been frozen would work on beside the next try. Nobody waits for it long."""
    result = getattr(pipeline, "result", None)
    if result is None:
        return

    def cancel() -> None:
        with suppress(grpc.RpcError):  # it is gone, and the job with it
            result.cancel()

    canceller = threading.Thread(target=cancel, name="cancel", daemon=True)
    canceller.start()
    canceller.join(_LOOK_S)


def _went_away(endpoint: str) -> WattlakeError:
    return WattlakeError(f"the job server at {endpoint} went away",
                         next_step="start it again (`wattlake dev flink start`), then run the same command again: nothing counts twice")


def _is_lost(error: BaseException | None) -> bool:
    """Whether it is what gRPC says of a connection that has ended."""
    return isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.UNAVAILABLE


@contextmanager
def _listeners_are_quiet() -> Iterator[None]:
    """Beam's listeners end with a traceback on stderr where the server goes away; the run itself tells it. All other threads' errors as ever."""
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not (_is_lost(args.exc_value) and args.thread is not None and args.thread.name in _BEAMS_LISTENERS):
            before(args)

    threading.excepthook = hook
    try:
        yield
    except BaseException:
        for listener in [thread for thread in threading.enumerate() if thread.name in _BEAMS_LISTENERS]:
            # it is told of the end at the same time
            listener.join(_LOOK_S)
        raise
    finally:
        if threading.excepthook is hook:
            threading.excepthook = before
