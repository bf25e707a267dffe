"""Jobs: what tells the log that a piece of work began, goes on, and ended."""
