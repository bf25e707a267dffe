"""The node agent: reads energy counters and job events of one machine and writes them to the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattlake_agents.jobs.context import job

__all__ = ["job"]


def __getattr__(name: str) -> Any:
    """`job` is imported when it is first used, so that the command line starts fast."""
    if name == "job":
        from wattlake_agents.jobs.context import job

        return job
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
