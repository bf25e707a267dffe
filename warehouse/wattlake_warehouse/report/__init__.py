"""The report: one HTML file with no script and no network, and the figures behind it."""
