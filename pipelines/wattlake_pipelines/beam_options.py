"""Beam's options as they stand after `--`: which runner they name, and whether somebody understands each of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import create_runner

from wattlake_contracts.errors import UsageError
from wattlake_pipelines.job_server import reached

#: What these take, Beam's Python knows in full; others hand on options that only they, or a service behind them, understand.
_KNOWN_IN_FULL = ("FnApiRunner", "SwitchingDirectRunner", "BundleBasedDirectRunner", "PrismRunner")
_HOW_TO_FLINK = "`wattlake dev flink start` starts a Flink, and prints the options that have a pipeline run on it"
_ASKING_S = 5.0


def with_runner(options: Sequence[str]) -> list[str]:
    """These options; where they name no runner, with one that works in this process."""
    return list(options) if any(o.startswith("--runner") for o in options) else ["--runner=FnApiRunner", *options]


def job_endpoint(options: PipelineOptions) -> str | None:
    """The address of the job server that is to run a pipeline of these options, if there is one and it is no part of this process."""
    endpoint: str | None = options.view_as(PortableOptions).job_endpoint
    return None if endpoint in (None, "", "embed") or not isinstance(_runner(options), PortableRunner) else endpoint


def check_beam_options(options: Sequence[str], warn: Callable[[str], None]) -> None:
    """See that all of them are understood, by Beam or by the job server that they name.

    UsageError names what is not. warn: hears of those of which nobody can be asked, such as those of a job server that does not answer.
    """
    chosen = with_runner(options)
    if wanted := [word for word in chosen if word in ("-h", "--help")]:
        raise UsageError("what stands after -- goes to Beam, whose options are on its own pages", subject=wanted[0],
                         next_step="see `wattlake run --help` for this command's")
    # without the options themselves: the parser knows those of each runner that was imported
    parsers: list[argparse.ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)
    [parser] = parsers
    parser.error = _refuse  # type: ignore[method-assign]  # its own prints how it believes that the command is used, and exits
    known, unknown = parser.parse_known_args(chosen)
    parsed = PipelineOptions(chosen)
    runner = _runner(parsed)
    endpoint = known.job_endpoint
    if endpoint and not isinstance(runner, PortableRunner):
        raise UsageError(f"{type(runner).__name__} works in this process and asks no job server", subject=f"--job_endpoint={endpoint}",
                         next_step="add --runner=PortableRunner, or leave it out")
    if type(runner) is PortableRunner and not endpoint:
        raise UsageError("it needs --job_endpoint=HOST:PORT, the address of a job server", subject="--runner=PortableRunner", next_step=_HOW_TO_FLINK)
    asked = False
    if unknown and (at := job_endpoint(parsed)) is not None and (asked := _learn(parser, at)):
        _, unknown = parser.parse_known_args(chosen)
    if not unknown:
        return
    names = [word for word in unknown if word.startswith("-")] or unknown
    if asked or type(runner).__name__ in _KNOWN_IN_FULL:
        near = get_close_matches(names[0].partition("=")[0], [name for action in parser._actions for name in action.option_strings], 1, 0.8)
        raise UsageError(f"neither Beam nor the job server at {endpoint} knows it" if asked else "Beam knows no such option", subject=names[0],
                         next_step=f"{near[0]} is one that there is; or leave it out" if near else "leave it out")
    warn(f"{', '.join(names)}: Beam's Python knows no such option; it is passed over unless {type(runner).__name__} knows it")


def _runner(options: PipelineOptions) -> Any:
    name = options.view_as(StandardOptions).runner
    try:
        return create_runner(name)
    except (ValueError, TypeError, AttributeError, ModuleNotFoundError) as error:
        raise UsageError("there is no such runner", subject=f"--runner={name}",
                         next_step=f"give one of {', '.join(StandardOptions.KNOWN_RUNNER_NAMES)}, or the full name of a class") from error
    except ImportError as error:
        raise UsageError(f"it cannot be used here: {error}", subject=f"--runner={name}", next_step="install what it needs, or give another") from error


def _learn(parser: argparse.ArgumentParser, endpoint: str) -> bool:
    """Have the parser know what the job server understands too; False if that does not answer."""
    import grpc

    with reached(endpoint, _ASKING_S) as channel:
        if channel is None:
            return False
        try:
            told = beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions(  # type: ignore[no-untyped-call]
                beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=_ASKING_S)
        except grpc.RpcError:
            return False
    there = {name for action in parser._actions for name in action.option_strings}
    for option in told.options:
        if f"--{option.name}" not in there:
            # as Beam takes them when it hands them on
            switch = option.type == beam_job_api_pb2.PipelineOptionType.BOOLEAN
            parser.add_argument(f"--{option.name}", action="store_true" if switch else "append")
    return True


def _refuse(message: str) -> NoReturn:
    subject, _, what = message.removeprefix("argument ").partition(": ")
    raise UsageError(what or message, subject=f"Beam's option {subject}" if what else "", next_step="mend it, or leave it out")
