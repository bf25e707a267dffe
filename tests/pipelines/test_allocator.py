"""The pipelines choose their allocators before Arrow looks, and leave what the user has chosen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: As a command begins: its module is loaded, then the allocators are chosen, then Arrow comes.
_AS_IT_BEGINS = """
import importlib, sys
cli = importlib.import_module(sys.argv[1])
cli.choose_allocators()
import pyarrow
print(pyarrow.default_memory_pool().backend_name)
"""


@pytest.mark.parametrize("module", ["wattlake_pipelines.cli", "wattlake_pipelines.lake.cli"])
@pytest.mark.parametrize(("given", "backend"), [({}, "system"), ({"ARROW_DEFAULT_MEMORY_POOL": "mimalloc", "MALLOC_ARENA_MAX": "4"}, "mimalloc")])
def test_arrow_takes_the_c_librarys_allocator_unless_the_user_has_chosen(given: dict[str, str], backend: str, module: str) -> None:
    plain = {name: value for name, value in os.environ.items() if name not in ("ARROW_DEFAULT_MEMORY_POOL", "MALLOC_ARENA_MAX")}
    made = subprocess.run([sys.executable, "-c", _AS_IT_BEGINS, module], env=plain | given, capture_output=True, text=True, check=True)
    assert made.stdout.strip() == backend
