"""`wattlake import`: CSV and Parquet files onto the log, through the same contract as everything else."""
