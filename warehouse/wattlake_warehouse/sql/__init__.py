"""Ad-hoc SQL over a lake: read-only, in a child process that can do nothing else."""
