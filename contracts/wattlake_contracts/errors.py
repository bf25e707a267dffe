"""What can go wrong in a way that the user can mend, and the exit codes of the command."""

from __future__ import annotations

OK, FAILED, USAGE, GATE_FAILED, INCOMPLETE = 0, 1, 2, 3, 4


class WattlakeError(Exception):
    """Something failed that its user can do something about.

    what: what failed and why. subject: the input it failed on. next_step: what to do now.
    """

    exit_code = FAILED

    def __init__(self, what: str, *, subject: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what, self.subject, self.next_step = what, subject, next_step

    def __str__(self) -> str:
        text = f"{self.subject}: {self.what}" if self.subject else self.what
        return f"{text}\n  next: {self.next_step}" if self.next_step else text


class UsageError(WattlakeError):
    """The command was called in a way that makes no sense."""

    exit_code = USAGE
