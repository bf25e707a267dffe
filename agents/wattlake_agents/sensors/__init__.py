"""Readers of energy: one file per kind of sensor, all listed in registry.py."""
