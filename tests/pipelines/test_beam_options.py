"""What stands after `--`: options that nobody understands are refused by name, those of a job server go through."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wattlake_contracts.errors import UsageError
from wattlake_pipelines.beam_options import check_beam_options
from wattlake_pipelines.dev.flink import Flink
from wattlake_pipelines.dev.ports import LOOPBACK, free_ports

WATTLAKE = Path(sys.executable).with_name("wattlake")


def doubts(*options: str) -> list[str]:
    """What is warned of."""
    heard: list[str] = []
    check_beam_options(options, heard.append)
    return heard


@pytest.mark.parametrize(("options", "said"), [
    (["--nosuchoption=3"], "--nosuchoption=3: Beam knows no such option\n  next: leave it out"),
    (["--nosuchoption", "3"], "--nosuchoption: Beam knows no such option"),
    (["--paralelism=3"], "next: --parallelism is one that there is"),
    (["three"], "three: Beam knows no such option"),
    (["--parallelism=three"], "--parallelism: invalid int value: 'three'"),
    (["--runner=FlinkRunnerr"], "--runner=FlinkRunnerr: there is no such runner\n  next: give one of "),
    (["--runner=FlinkRunnerr"], " FlinkRunner, FnApiRunner,"),
    (["--runner=no.such.Runner"], "--runner=no.such.Runner: there is no such runner"),
    (["--runner=os.path"], "--runner=os.path: there is no such runner"),
    (["--help"], "next: see `wattlake run --help` for this command's"),
    (["--runner=PortableRunner"], "--runner=PortableRunner: it needs --job_endpoint=HOST:PORT"),
    (["--job_endpoint=127.0.0.1:9"], "--job_endpoint=127.0.0.1:9: FnApiRunner works in this process"),
])
def test_what_cannot_be_meant_is_refused_and_named(options: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        doubts(*options)
    assert said in str(refused.value)


def test_what_beam_knows_goes_through_without_a_word() -> None:
    assert doubts() == []
    assert doubts("--runner=FnApiRunner", "--direct_num_workers=1", "--job_name=x") == []
    assert doubts("--runner=FlinkRunner", "--flink_master=127.0.0.1:8081", "--parallelism=3") == []


def test_an_option_that_a_runner_of_another_program_may_know_is_told_and_goes_through() -> None:
    [doubt] = doubts("--runner=FlinkRunner", "--savepoint_path=x")
    assert "--savepoint_path=x: Beam's Python knows no such option" in doubt
    [port] = free_ports(1)
    [doubt] = doubts("--runner=PortableRunner", f"--job_endpoint={LOOPBACK}:{port}", "--savepoint_path=x")
    assert "unless PortableRunner knows it" in doubt


@pytest.mark.slow
def test_options_of_the_job_server_go_through_and_those_that_it_does_not_know_either_are_refused(flink: Flink) -> None:
    assert doubts(*flink.options) == []
    assert doubts(*flink.options, "--savepoint_path=x", "--max_bundle_size=10") == []
    with pytest.raises(UsageError, match=f"--savepoint_pth=x: neither Beam nor the job server at {LOOPBACK}:{flink.port} knows it") as refused:
        doubts(*flink.options, "--savepoint_pth=x")
    assert "--savepoint_path is one that there is" in str(refused.value)


@pytest.mark.slow
def test_the_command_refuses_them_before_it_makes_a_lake(tmp_path: Path) -> None:
    done = subprocess.run([WATTLAKE, "account", "--lake", tmp_path / "lake", "--", "--nosuchoption=3"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "wattlake: --nosuchoption=3: Beam knows no such option\n  next: leave it out\n"
    assert not (tmp_path / "lake").exists()
