"""The accounting rules (docs/accounting.md) as pure functions of columns: numpy and pyarrow, no I/O."""
