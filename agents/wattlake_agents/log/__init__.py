"""The log as its operator sees it: making its topics, how it stands, and what is on it."""
