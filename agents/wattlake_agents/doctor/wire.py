"""One connection to a broker, step by step: TCP, TLS, Kafka's first requests, SASL.

kafka-python's clients try all of it again and again and in the end report a timeout, whatever it was.
The few requests here are of versions that every broker knows (Kafka protocol guide), so they are
written out.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Mapping
from typing import Any

_API_VERSIONS, _METADATA, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 3, 17, 36
_CLIENT = b"wattlake-doctor"
_LARGEST = 64 * 2**20
#: A broker that wants another client certificate says so right after the handshake (TLS 1.3), if it is given the time.
_OBJECTION_S = 0.4
#: What a record of TLS begins with that is an alert (RFC 8446, 5.1).
_TLS_ALERT = b"\x15\x03"
#: What is raised where the other side has closed the connection: which of them depends on the versions of Python and OpenSSL too.
CLOSED = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class NotKafkaError(Exception):
    """What answered does not speak Kafka's protocol; tls: it speaks TLS."""

    def __init__(self, what: str, *, tls: bool = False) -> None:
        super().__init__(what)
        self.tls = tls


class HungUpError(Exception):
    """The other side closed the connection instead of answering."""


class SaslError(Exception):
    """The broker refused. step: how many messages it had taken by then. code: Kafka's. mechanisms: those that it offers, if it said so."""

    def __init__(self, code: int, message: str, step: int = 0, mechanisms: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code, self.step, self.mechanisms = code, step, mechanisms


class Wire:
    """A connection that is open. timeout_s: for each step."""

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._socket, self._timeout_s = connection, timeout_s
        self._number = 0

    def close(self) -> None:
        """Give it up."""
        self._socket.close()

    def handshake(self, context: ssl.SSLContext, host: str) -> Mapping[str, Any]:
        """Go over to TLS; the broker's certificate as ssl gives it. ssl.SSLError and OSError as they come, also for what is objected to afterwards."""
        self._socket.settimeout(self._timeout_s)
        secured = context.wrap_socket(self._socket, server_hostname=host)
        self._socket = secured
        certificate = secured.getpeercert() or {}
        if secured.version() == "TLSv1.3":
            secured.settimeout(_OBJECTION_S)
            try:
                if not secured.recv(1):
                    raise HungUpError
            except TimeoutError:
                pass  # it has nothing against this client
        return certificate

    def greet(self) -> None:
        """Kafka's first request. NotKafkaError, HungUpError, OSError."""
        self._ask(_API_VERSIONS, 0, b"")

    def brokers(self) -> list[tuple[str, int]]:
        """(host, port) of every broker, as clients are told it. HungUpError where one has to say first who one is."""
        answer = self._ask(_METADATA, 4, struct.pack(">i?", 0, False))
        [count] = struct.unpack_from(">i", answer, 4)
        found, at = [], 8
        for _ in range(max(count, 0)):
            [length] = struct.unpack_from(">h", answer, at + 4)
            host, at = answer[at + 6 : at + 6 + length].decode(), at + 6 + length
            port, rack = struct.unpack_from(">ih", answer, at)
            found.append((host, int(port)))
            at += 6 + max(rack, 0)
        return found

    def authenticate(self, mechanism: str, host: str, keywords: Mapping[str, object]) -> None:
        """Say who this is. SaslError if that is not believed; keywords: as kafka-python takes them."""
        from kafka.net.sasl import get_sasl_mechanism

        answer = self._ask(_SASL_HANDSHAKE, 1, _text(mechanism))
        [code] = struct.unpack_from(">h", answer)
        if code:
            raise SaslError(code, "", mechanisms=_texts(answer[2:]))
        client = get_sasl_mechanism(mechanism)(host=host, **keywords)
        step = 0
        while not client.is_done():
            token = client.auth_bytes()
            answer = self._ask(_SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
            code, length = struct.unpack_from(">hh", answer)
            at = 4 + max(length, 0)
            if code:
                raise SaslError(code, answer[4:at].decode(errors="replace"), step)
            [size] = struct.unpack_from(">i", answer, at)
            client.receive(answer[at + 4 : at + 4 + max(size, 0)])
            step += 1

    def _ask(self, key: int, version: int, body: bytes) -> bytes:
        self._number += 1
        request = struct.pack(">hhi", key, version, self._number) + _text(_CLIENT.decode()) + body
        until = time.monotonic() + self._timeout_s
        self._socket.settimeout(self._timeout_s)
        try:
            self._socket.sendall(struct.pack(">i", len(request)) + request)
            head = self._receive(4, until)
        except CLOSED as error:
            raise HungUpError from error
        if head[:2] == _TLS_ALERT:
            raise NotKafkaError("it speaks TLS", tls=True)
        [size] = struct.unpack(">i", head)
        if not 4 <= size <= _LARGEST:
            raise NotKafkaError("it does not speak Kafka's protocol")
        answer = self._receive(size, until)
        if struct.unpack_from(">i", answer)[0] != self._number:
            raise NotKafkaError("it does not speak Kafka's protocol")
        return answer[4:]

    def _receive(self, size: int, until: float) -> bytes:
        found = bytearray()
        while len(found) < size:
            self._socket.settimeout(max(0.01, until - time.monotonic()))
            some = self._socket.recv(size - len(found))
            if not some:
                raise HungUpError
            found += some
        return bytes(found)


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw


def _texts(raw: bytes) -> tuple[str, ...]:
    """An array of strings."""
    [count] = struct.unpack_from(">i", raw)
    found, at = [], 4
    for _ in range(max(count, 0)):
        [length] = struct.unpack_from(">h", raw, at)
        found.append(raw[at + 2 : at + 2 + length].decode(errors="replace"))
        at += 2 + length
    return tuple(found)
