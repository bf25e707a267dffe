"""The node agent: reads energy counters and job events of one machine and writes them to the log."""
