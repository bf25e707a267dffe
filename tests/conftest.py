"""What every test may ask for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# what tests share (writing logs, dumping lakes) is imported from here, by plain name
sys.path.insert(0, str(ROOT / "tests" / "support"))
pytest_plugins = ("broker", "disks", "job_server", "guarded", "shims")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of other people's logs and tables; in CI it must be there."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        from lacking import lacks

        lacks("needs the reference data in ../shared/data, which is not there")
    return folder
