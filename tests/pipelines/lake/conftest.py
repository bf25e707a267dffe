"""What the tests of the lake share."""

from __future__ import annotations

import pytest

from disturbed import Worlds, make_worlds


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """The lakes that the tests of disturbed committers copy."""
    return make_worlds(tmp_path_factory.mktemp("worlds"))
