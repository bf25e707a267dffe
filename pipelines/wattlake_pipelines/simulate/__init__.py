"""A seeded, simulated fleet: the same records that agents, job hooks and grid sources would write.

Everything is made up and says so: rows carry simulated=true where the kind has that column, and
zones (SIM-1), sites (sim-north), nodes and skus have names that no real one has. The figures
behind it are rows of zones.csv, sites.csv and hardware.csv beside this file.
"""
