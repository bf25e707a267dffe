"""The agent stays light: what it imports, and that its help answers without the heavy rooms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("pyarrow", "numpy", "pandas", "duckdb", "apache_beam", "great_expectations")


@pytest.mark.parametrize("arguments", [["agent", "--help"], ["agent", "run", "--help"], ["job", "run", "--help"], ["record", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = ("import sys\n"
            f"sys.argv = ['wattlake', *{arguments!r}]\n"
            "from wattlake_agents.command import main\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
            f"print('LOADED', [m for m in {(*HEAVY, 'nanoarrow', 'prometheus_client', 'structlog', 'pynvml')!r} if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr


def test_a_reading_agent_imports_nothing_heavy(tmp_path: Path) -> None:
    code = ("import sys, threading\n"
            "from wattlake_agents.agent import Agent\n"
            "from wattlake_agents.metrics import serve\n"
            "from wattlake_contracts.config import AgentConfig, Config\n"
            f"config = Config(agent=AgentConfig(node='n1', state_dir={str(tmp_path / 'state')!r}, interval_s=0.05, flush_s=0.2))\n"
            f"agent = Agent(config, 'file:{tmp_path / 'log'}')\n"
            "close = serve(agent, '127.0.0.1:0')\n"
            "threading.Timer(0.6, agent.stop.set).start()\n"
            "agent.run()\n"
            "close()\n"
            f"print([m for m in {HEAVY!r} if m in sys.modules])\n"
            "assert agent.spool.written > 0")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr


def test_the_package_offers_job_without_importing_it() -> None:
    seen = "print('wattlake_agents.jobs' in sys.modules)"
    code = f"import sys, wattlake_agents; {seen}; wattlake_agents.job; {seen}"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\nTrue\n"
