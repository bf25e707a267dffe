"""Lets the tests of the pipelines import the oracle: tests/oracle, as the package `oracle`."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = str(Path(__file__).resolve().parents[1])
if TESTS not in sys.path:
    sys.path.append(TESTS)
