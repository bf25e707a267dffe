"""Whether a Kafka is there: a broker that speaks, and a cluster that knows all its brokers."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from wattlake_pipelines.dev.ports import LOOPBACK

#: "Which requests do you know?", version 0 (Kafka protocol guide, ApiVersions): length, request 18, version 0, number 1, no client id.
_WHICH = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def speaks(port: int, patience_s: float = 2) -> bool:
    """Whether a broker says anything: of a process that is frozen the kernel still takes connections, and nobody answers.

    One that wants TLS closes the connection, which is an answer too.
    """
    try:
        with socket.create_connection((LOOPBACK, port), timeout=patience_s) as connection:
            connection.sendall(_WHICH)
            connection.recv(1)
    except ConnectionResetError:
        return True
    except OSError:
        return False
    return True


def knows_all(servers: Sequence[str], count: int, client: Mapping[str, Any]) -> bool:
    """Whether the cluster answers real requests, and says that so many brokers are in it. client: what kafka-python needs beside the servers."""
    # kafka-python asks again and again, and warns at length, while nobody listens
    if not all(speaks(int(server.rpartition(":")[2])) for server in servers):
        return False
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    try:
        admin = KafkaAdminClient(bootstrap_servers=list(servers), bootstrap_timeout_ms=5000, request_timeout_ms=5000, **client)
        try:
            return len(admin.describe_cluster()["brokers"]) == count
        finally:
            admin.close()
    except KafkaError:
        return False
