"""Quality gates: the contracts' column rules and the invariants of the books, as great-expectations suites."""
