"""Landing: ranges of the log → checked, deduplicated, sorted Parquet, with the rejects beside it."""
