"""What a job is called when nobody said."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping


def job_id(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The job's id: as given, else the scheduler's, else the launcher's, else a new one.

    Slurm: SLURM_JOB_ID, for a task of an array ARRAY_TASK. torchrun: its run id (--rdzv-id), or
    without one its address, port and the launcher's process, so that all ranks of a node agree.
    Ranks of one job on several nodes agree only if one of the first three is set.
    """
    if given:
        return given
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    if array and task:
        return f"{array}_{task}"
    if slurm := environment.get("SLURM_JOB_ID"):
        return slurm
    run = environment.get("TORCHELASTIC_RUN_ID")
    if run and run != "none":
        return run
    if run and environment.get("MASTER_PORT"):
        return f"torchrun-{environment.get('MASTER_ADDR', 'localhost')}-{environment['MASTER_PORT']}-{os.getppid()}"
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
