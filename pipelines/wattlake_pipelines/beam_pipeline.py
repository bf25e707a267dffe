"""A Beam pipeline of ours: on the runner that its user chose, with errors that say what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apache_beam as beam
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions

from wattlake_pipelines.beam_options import job_endpoint, with_runner
from wattlake_pipelines.job_server import check_answers, run_watched
from wattlake_pipelines.worker_error import told


@contextmanager
def beam_pipeline(options: Sequence[str]) -> Iterator[beam.Pipeline]:
    """A pipeline to be filled, which runs when the block ends; FnApiRunner where the options (Beam's own) name none.

    WattlakeError as a worker raised it, or if the job server that the options name does not answer, or goes away.
    """
    parsed = PipelineOptions(with_runner(options))
    endpoint = job_endpoint(parsed)
    if endpoint is None:
        with told(), beam.Pipeline(options=parsed) as pipeline:
            yield pipeline
        return
    check_answers(endpoint)
    # it would ask pip, which need not be there, what is installed here, and only to log it
    parsed.view_as(DebugOptions).add_experiment("disable_logging_submission_environment")  # type: ignore[no-untyped-call]
    with told():
        pipeline = beam.Pipeline(options=parsed)
        yield pipeline
        run_watched(pipeline, endpoint)
