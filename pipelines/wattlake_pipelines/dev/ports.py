"""Ports of the loopback interface."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from wattlake_contracts.errors import UsageError, WattlakeError

LOOPBACK = "127.0.0.1"
#: Below those that a kernel gives to outgoing connections: one of these could take a server's port while it is away, and a
#: client that asks again and again for a server on such a port may in the end be connected to itself.
_FIRST, _LAST = 20_000, 32_000
_ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as listener:
        # as Java does it: what an earlier server left in TIME_WAIT is no hindrance
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int, without: Collection[int] = ()) -> list[int]:
    """So many ports that nobody listens on, none of them among `without`."""
    found: list[int] = []
    for _ in range(_ATTEMPTS * count):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - no secret
        if port not in found and port not in without and is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise WattlakeError(f"there are no {count} free ports between {_FIRST} and {_LAST}", next_step="stop what listens there, or give --port")


def check_free(port: int) -> int:
    """The port itself. UsageError if somebody listens there."""
    if not is_free(port):
        raise UsageError(f"port {port} of {LOOPBACK} is taken, or not allowed to you", subject=f"--port {port}", next_step="give another --port, or none")
    return port
