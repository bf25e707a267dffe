"""The pipelines: read the log, account for energy and emissions, and write the lake."""
