"""What a job is called when nobody said."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Mapping
from hashlib import blake2b

from wattlake_agents.jobs.launcher import launcher
from wattlake_contracts.errors import UsageError
from wattlake_contracts.kinds import JOBS

#: A scheduler's variable for the job, and the one for the task where the job is an array.
_SCHEDULERS = (("SLURM_JOB_ID", None), ("PBS_JOBID", None), ("LSB_JOBID", "LSB_JOBINDEX"), ("FLUX_JOB_ID", None))
#: The number of a rank, where the launcher names no job (MPICH, Intel MPI, MVAPICH through Hydra).
_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK")


def job_id(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The job's id: as given, else WATTLAKE_JOB, else the scheduler's, else the launcher's, else a new one.

    Schedulers: SLURM_JOB_ID (for a task of an array ARRAY_TASK; all steps of a job are one job),
    PBS_JOBID, LSB_JOBID (of an array JOB_INDEX), FLUX_JOB_ID. Launchers: PMIX_NAMESPACE or
    OMPI_MCA_ess_base_jobid (Open MPI), PMI_JOBID, torchrun's run id (--rdzv-id). A launcher that
    gives its ranks no name (MPICH's and Intel's mpiexec, torchrun without --rdzv-id) is named by its
    process, so that all ranks of a node agree; those of several nodes then agree only if one of the
    others is set. UsageError for an id that was told and that no job may have.
    """
    if named := given or environment.get("WATTLAKE_JOB"):
        if (why := JOBS.column("job").reserved(named)) is not None:
            raise UsageError(f"{named!r} {why}: reports call other things so", subject="--job" if given else "WATTLAKE_JOB")
        return named
    return _scheduled(environment) or _launched(environment) or f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"


def _scheduled(environment: Mapping[str, str]) -> str | None:
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    if array and task:
        return f"{array}_{task}"
    for variable, index in _SCHEDULERS:
        if job := environment.get(variable):
            task = environment.get(index) if index else None
            # LSF says 0 for a job that is no array
            return f"{job}_{task}" if task and task != "0" else job
    return None


def _launched(environment: Mapping[str, str]) -> str | None:
    if mpi := environment.get("PMIX_NAMESPACE") or environment.get("OMPI_MCA_ess_base_jobid"):
        # up to Open MPI 4 this is a number of 16 bits, which comes again; this key of each run does not
        key = environment.get("OMPI_MCA_orte_precondition_transports")
        return f"mpi-{mpi}-{blake2b(key.encode(), digest_size=4).hexdigest()}" if key else f"mpi-{mpi}"
    if mpi := environment.get("PMI_JOBID"):
        return f"mpi-{mpi}"
    run = environment.get("TORCHELASTIC_RUN_ID")
    # "none" is what torchrun says without --rdzv-id
    if run and run != "none":
        return run
    if run and environment.get("MASTER_PORT"):
        where = f"{environment.get('MASTER_ADDR', 'localhost')}-{environment['MASTER_PORT']}"
        return f"torchrun-{where}-{launcher('LOCAL_RANK', environment.get('LOCAL_RANK'))}"
    for rank in _RANKS:
        if (number := environment.get(rank)) is not None:
            return f"mpi-{socket.gethostname()}-{launcher(rank, number)}"
    return None
