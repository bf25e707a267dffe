"""Account: readings, jobs and reference figures become facts."""
