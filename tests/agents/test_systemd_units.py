"""The units under infra/systemd, as systemd itself judges them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "infra" / "systemd"
SERVICES = ("wattlake-agent.service", "wattlake-account.service")

judged = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")


@judged
def test_the_units_are_well_formed(tmp_path: Path, wattlake: Path) -> None:
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/wattlake/bin/wattlake", str(wattlake)))
    done = subprocess.run(["systemd-analyze", "verify", *sorted(tmp_path.iterdir())], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@judged
@pytest.mark.parametrize("service", SERVICES)
def test_the_services_are_locked_down(service: str) -> None:
    # of 100; systemd calls anything up to 20 "OK", and an unhardened service has 96
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", UNITS / service],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_service_names_the_installed_command_and_no_secret() -> None:
    for service in SERVICES:
        lines = (UNITS / service).read_text().splitlines()
        starts = [line for line in lines if line.startswith("ExecStart")]
        assert starts
        assert all(line.startswith("ExecStart=/opt/wattlake/bin/wattlake ") for line in starts)


def test_a_document_that_a_unit_names_is_one_that_is_installed() -> None:
    installs = (UNITS / "README.md").read_text()
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        for line in unit.read_text().splitlines():
            if line.startswith("Documentation="):
                named = line.removeprefix("Documentation=").split()
                assert all(uri.startswith("https://") or uri.removeprefix("file:") in installs for uri in named), line


def test_who_has_the_log_on_kafka_is_told_how_a_service_reaches_it() -> None:
    shut_in = [service for service in SERVICES if "IPAddressDeny=any" in (UNITS / service).read_text()]
    assert shut_in == list(SERVICES)
    told = (UNITS / "README.md").read_text()
    assert "IPAddressAllow=" in told
    assert all(service in told for service in shut_in)
    assert "infra/systemd/README.md" in (UNITS.parents[1] / "docs" / "operating-kafka.md").read_text()
