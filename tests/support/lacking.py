"""What a machine must have for a test. CI is to have all of it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacks(what: str) -> NoReturn:
    """This machine lacks something: the test is left out here, and fails in CI (CI is set), where nobody would see that it never ran."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; no test is left out in CI", pytrace=False)
    pytest.skip(what)
