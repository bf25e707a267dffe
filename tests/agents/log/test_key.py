"""`wattlake log key`."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

Call = Callable[..., subprocess.CompletedProcess[str]]


def test_it_makes_a_key_for_this_user_alone_and_prints_the_public_one(call: Call, tmp_path: Path) -> None:
    made = call("log", "key", "signing.pem")
    assert (made.returncode, made.stderr) == (0, "")
    assert len(made.stdout.strip()) == 44
    assert stat.S_IMODE((tmp_path / "signing.pem").stat().st_mode) == 0o600
    assert call("log", "key", "signing.pem", "--public").stdout == made.stdout
    private = (tmp_path / "signing.pem").read_text()
    again = call("log", "key", "signing.pem")
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert (tmp_path / "signing.pem").read_text() == private
    assert private.splitlines()[1] not in made.stdout + again.stderr
    (tmp_path / "signing.pem").chmod(0o644)
    told = call("log", "key", "signing.pem", "--public")
    assert (told.returncode, told.stdout) == (2, "")
    assert "chmod 600" in told.stderr
