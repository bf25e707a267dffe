"""Power summed up into a counter."""

from __future__ import annotations

from wattlake_agents.sensors.integrator import LONGEST_STEP_NS, Integrator


def test_an_integrator_does_not_bridge_a_long_pause() -> None:
    integrator = Integrator()
    assert integrator.add(0, 1000) == 0
    assert integrator.add(10**9, 1000) == 1_000_000
    assert integrator.add(10**9 + LONGEST_STEP_NS + 1, 1000) == 0
