"""`wattlake demo`: a small, real life cycle of a model on this machine, from the sensor to the report."""
