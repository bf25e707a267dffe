"""What a probe found."""

from __future__ import annotations

from dataclasses import dataclass

from wattlake_contracts.plain_words import plainly

OK, FAILED, NOT_TRIED = "ok", "failed", "not tried"
COLUMNS = ("probe", "subject", "state", "detail", "next_step")


@dataclass(frozen=True)
class Finding:
    """One probe. subject: what was probed. state: OK, FAILED or NOT_TRIED. next_step: what to do, where there is something. Never holds a secret."""

    probe: str
    subject: str
    state: str
    detail: str
    next_step: str = ""

    def row(self) -> tuple[str, str, str, str, str | None]:
        """As COLUMNS."""
        return (self.probe, self.subject, self.state, self.detail, self.next_step or None)


def ok(probe: str, subject: str, detail: str, next_step: str = "") -> Finding:
    """It is as it should be."""
    return Finding(probe, subject, OK, detail, next_step)


def failed(probe: str, subject: str, detail: str, next_step: str) -> Finding:
    """It is not."""
    return Finding(probe, subject, FAILED, detail, next_step)


def not_tried(probe: str, subject: str, why: str) -> Finding:
    """It was not probed: what it stands on failed, or it is not wanted."""
    return Finding(probe, subject, NOT_TRIED, why)


def said(error: BaseException) -> str:
    """An error in a few words."""
    return str(getattr(error, "strerror", None) or getattr(error, "reason", None) or plainly(error))[:200]
