"""What a job is called: one name for all ranks that one launcher starts on a node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wattlake_agents.jobs.identity import job_id

SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "1"}
PMIX = {"PMIX_NAMESPACE": "prterun-box-16840@1", "PMIX_RANK": "1"}
TORCH = {"TORCHELASTIC_RUN_ID": "run-5", "LOCAL_RANK": "1"}


@pytest.mark.parametrize(("given", "environment", "expected"), [
    ("mine", {"WATTLAKE_JOB": "named", **SLURM}, "mine"),
    (None, {"WATTLAKE_JOB": "named", **SLURM}, "named"),
    (None, {"WATTLAKE_JOB": "", **SLURM}, "7"),
    (None, {**SLURM, **PMIX, **TORCH}, "7"),
    (None, {**SLURM, "SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}, "7_0"),
    (None, {"PBS_JOBID": "12[3].server", **PMIX}, "12[3].server"),
    (None, {"LSB_JOBID": "12", "LSB_JOBINDEX": "0"}, "12"),
    (None, {"LSB_JOBID": "12", "LSB_JOBINDEX": "3"}, "12_3"),
    (None, {"FLUX_JOB_ID": "ƒabc", **PMIX}, "ƒabc"),
    (None, {**PMIX, **TORCH}, "mpi-prterun-box-16840@1"),
    (None, {"OMPI_MCA_ess_base_jobid": "3482189825", "OMPI_COMM_WORLD_RANK": "0"}, "mpi-3482189825"),
    (None, {"PMI_JOBID": "4711.0", "PMI_RANK": "0"}, "mpi-4711.0"),
    (None, TORCH, "run-5"),
])
def test_the_id_is_given_or_the_schedulers_or_the_launchers(given: str | None, environment: dict[str, str], expected: str) -> None:
    assert job_id(given, environment) == expected


def test_two_runs_that_open_mpi_gives_the_same_number_are_two_jobs() -> None:
    run = {"PMIX_NAMESPACE": "3482189825", "OMPI_MCA_ess_base_jobid": "3482189825"}
    first, second = ({**run, "OMPI_MCA_orte_precondition_transports": key} for key in ("62f1069d83bf8724-32b7", "72f1069d83bf8724-32b7"))
    assert job_id(None, first) != job_id(None, second)
    assert job_id(None, {**first, "PMIX_RANK": "1"}) == job_id(None, {**first, "PMIX_RANK": "0"})


def test_otherwise_every_job_is_a_new_one() -> None:
    assert job_id(None, {}) != job_id(None, {})
    # torchrun's default, without an address: it tells no two runs apart
    assert job_id(None, {"TORCHELASTIC_RUN_ID": "none"}) != "none"


def jobs_of(log_book: Any, log: Path) -> set[str]:
    return {row["job"] for row in log_book(log).rows("jobs")}


@pytest.mark.parametrize("environment", [
    "PMI_RANK={rank}", "MV2_COMM_WORLD_RANK={rank}",
    "TORCHELASTIC_RUN_ID=none MASTER_ADDR=127.0.0.1 MASTER_PORT=29500 LOCAL_RANK={rank}",
])
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_ranks_of_a_launcher_that_names_no_job_are_one_job_and_its_next_run_another(
        wattlake: Path, machine: Any, state: Path, tmp_path: Path, log_book: Any, environment: str, wrapped: bool) -> None:
    log = tmp_path / "log"
    job = f"{wattlake} job run --log file:{log} -- true"
    # a rank may be a shell with commands around; `; true` keeps the shell from being replaced by its only command
    command = f'sh -c "{job}; true"' if wrapped else job
    ranks = " & ".join(f"env {environment.format(rank=rank)} {command}" for rank in range(2))
    for count in (1, 2):
        subprocess.run(["sh", "-c", f"{ranks} & wait"], env=machine.environment(state), check=True, cwd=tmp_path)
        assert len(log_book(log).rows("jobs")) == count * 4
        assert len(jobs_of(log_book, log)) == count


@pytest.mark.parametrize("launcher", ["mpiexec.hydra", "prterun", "mpirun", "torchrun"])
def test_the_ranks_of_a_real_launcher_are_one_job(
        wattlake: Path, machine: Any, state: Path, tmp_path: Path, log_book: Any, launcher: str) -> None:
    if shutil.which(launcher) is None:
        pytest.skip(f"{launcher} is not installed here")
    log = tmp_path / "log"
    two = ["--no-python", "--nproc-per-node", "2"] if launcher == "torchrun" else ["-n", "2"]
    root = {f"{name}_ALLOW_RUN_AS_ROOT{confirm}": "1" for name in ("OMPI", "PRTE") for confirm in ("", "_CONFIRM")}
    subprocess.run([launcher, *two, wattlake, "job", "run", "--log", f"file:{log}", "--", "true"],
                   env=machine.environment(state, **root), check=True, cwd=tmp_path, timeout=60)
    assert len(log_book(log).rows("jobs")) == 4
    assert len(jobs_of(log_book, log)) == 1


def test_a_process_that_is_no_rank_is_its_parents(tmp_path: Path) -> None:
    code = "from wattlake_agents.jobs.launcher import launcher; print(launcher('NO_SUCH_RANK', '0'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split("-")[0] == str(os.getpid())


def test_without_procfs_the_parent_is_the_launcher(tmp_path: Path) -> None:
    from wattlake_agents.jobs.launcher import launcher

    assert launcher("PMI_RANK", "0", tmp_path) == str(os.getppid())
