"""What `wattlake demo` refuses, and how it says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def demo(wattlake: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([wattlake, "demo", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("arguments", "said"), [
    (("--zone", "us-cal-cisco"), "did you mean US-CAL-CISO"), (("--zone", "ATLANTIS"), "docs/factors.md"),
    (("--pue", "0.9"), "facility energy over IT energy"), (("--pue", "nan"), "facility energy over IT energy"),
])
def test_a_place_that_makes_no_sense_is_refused_before_anything_is_made(wattlake: Path, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = demo(wattlake, tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_of_somebody_else_is_refused(wattlake: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = demo(wattlake, tmp_path, "--out", ".")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no demo made it" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
