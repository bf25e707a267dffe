"""The lake as its one writer sees it: opening, committing, upkeep, verification."""
