"""A real Flink for tests: one that the whole run shares. A plugin of pytest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from broker import READY_S, Shared, of_the_run
from wattlake_pipelines.dev.flink import Flink


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flink]:
    """A Flink, running, shared by all tests of the run; `flink.options` are Beam's options that have a pipeline run on it.

    Jobs of other tests run on it too: `steps_of` tells them apart by the name that a job was given.
    """
    folder = of_the_run(tmp_path_factory) / "shared-flink"
    shared, made = Shared(folder), Flink(folder / "flink", keep_jobs=True)
    shared.enter(lambda: made.start(READY_S))
    yield made
    shared.leave(made.stop)


def steps_of(flink: Flink, job_name: str) -> list[Mapping[str, list[int]]]:
    """Of each job of a name that has ended: step of Flink → how many elements each of its subtasks was given, by Flink's own metrics."""
    found = []
    for path in sorted(flink.jobs.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        try:
            pages: dict[str, Any] = {page["path"]: json.loads(page["json"]) for page in json.loads(path.read_text())["archive"]}
        except ValueError:  # it is being written
            continue
        job = next(page for page in pages.values() if page.get("vertices") and "name" in page and "jid" in page)
        if job["name"] != job_name:
            continue
        steps = [page for name, page in pages.items() if name.startswith(f"/jobs/{job['jid']}/vertices/") and name.count("/") == 4]
        found.append({step["name"]: [subtask["metrics"]["read-records"] for subtask in step["subtasks"]] for step in steps})
    return found
