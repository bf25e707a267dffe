"""Running a command as if nobody stood between it and its caller."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from wattlake_contracts.errors import WattlakeError

#: Passed on to the command. STOP, CONT and TSTP act on both by themselves.
PASSED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGWINCH)
#: What Python changes at its own start, and a command expects unchanged.
_RESET = (signal.SIGPIPE, signal.SIGXFSZ)
_NOT_FOUND, _NOT_RUNNABLE = 127, 126


class CommandError(WattlakeError):
    """The command could not be started; exit_code as a shell has it."""

    def __init__(self, command: str, error: OSError) -> None:
        super().__init__(f"cannot be run: {error.strerror}", subject=command, next_step="check its name, and that it is executable")
        self.exit_code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE


class Child:
    """A running command.

    Signals to this process are passed on, except those that the terminal has sent to the whole
    foreground group, for the command has had them. CommandError if it cannot be started.
    """

    def __init__(self, command: list[str]) -> None:
        self._waited = {*PASSED, signal.SIGCHLD}
        # blocked before the command starts, so that none is lost in between; the command gets the old mask
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._waited)
        try:
            self.pid = os.posix_spawnp(command[0], command, os.environ, setsigmask=before, setsigdef=_RESET)
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise CommandError(command[0], error) from error

    def wait(self, each_s: float, meanwhile: Callable[[], None]) -> int:
        """Wait until the command ends, calling `meanwhile` every so often; its exit code, 128 + n for signal n."""
        due = time.monotonic() + each_s
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            got = signal.sigtimedwait(self._waited, max(0.0, due - time.monotonic()))
            if got is None:
                meanwhile()
                due = time.monotonic() + each_s
            elif got.si_signo != signal.SIGCHLD and got.si_code <= 0:
                # si_code > 0: the kernel sent it, as it does for the terminal (sigaction(2))
                os.kill(self.pid, got.si_signo)
