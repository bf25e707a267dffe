"""The factors that come with Wattlake: a small starter set, each row with its source.

They stand in until better figures are imported, and rank below any that is. Every figure is a row
of a CSV file in this folder; none is a literal in code. docs/factors.md lists them.
"""

from wattlake_contracts.factors.embodied import EmbodiedFactor, embodied_factors, starter_embodied
from wattlake_contracts.factors.facility import FacilityAverage, facility_average
from wattlake_contracts.factors.factor import SHIPPED, Factor
from wattlake_contracts.factors.grid import GridAverage, grid_averages, starter_grid
from wattlake_contracts.factors.network import NetworkFactor, network_factor
from wattlake_contracts.factors.tdp import Tdp, tdp_for

__all__ = [
    "SHIPPED", "EmbodiedFactor", "FacilityAverage", "Factor", "GridAverage", "NetworkFactor", "Tdp",
    "embodied_factors", "facility_average", "grid_averages", "network_factor", "starter_embodied", "starter_grid", "tdp_for",
]
