"""A row of a record that cannot be used; of very many in one record only the first are told one by one."""

from __future__ import annotations

from typing import NamedTuple

from wattlake_contracts.amount import amount

#: So many bad rows of a record are rejects of their own; the next one stands for all that follow, too.
TOLD_ROWS = 100


class RowReject(NamedTuple):
    """One row of a record that cannot be used: its number in the record from 0, why, and its JSON.

    others: how many later rows it stands for, which cannot be used either.
    """

    row: int
    reason: str
    body: str
    others: int = 0

    @property
    def told(self) -> str:
        """Why, and for how many it stands."""
        if not self.others:
            return self.reason
        untold = "is not told" if self.others == 1 else "are not told one by one"
        return f"{self.reason}; {amount(self.others, 'later row')} of this record cannot be used either, and {untold}"
