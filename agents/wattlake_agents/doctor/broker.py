"""Probing one broker: its name, TCP, TLS, whether it is Kafka, and whether it believes who this is."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from wattlake_agents.doctor.finding import FAILED, Finding, failed, not_tried, ok, said
from wattlake_agents.doctor.tls import TLS, Tls
from wattlake_agents.doctor.wire import HungUpError, NotKafkaError, SaslError, Wire
from wattlake_contracts.config import KafkaConfig

NAME, TCP, KAFKA, SASL = "name", "tcp", "kafka", "sasl"
_STEPS = (TCP, TLS, KAFKA, SASL)
#: Kafka's error codes (protocol guide).
_UNSUPPORTED_MECHANISM, _ILLEGAL_STATE = 33, 34
_LOG_STEP = "see the broker's log"


class BrokerProbe:
    """Probes brokers one after the other with the same settings. keywords: as kafka-python takes them, with the secrets, of which none is ever told."""

    def __init__(self, config: KafkaConfig, keywords: Mapping[str, object], timeout_s: float) -> None:
        self._config, self._keywords, self._timeout_s = config, keywords, timeout_s
        self._tls = Tls(config, keywords, timeout_s)
        #: HOST:PORT of the brokers, as those that were probed tell them to clients
        self.advertised: set[str] = set()
        self._secured, self._named = config.security_protocol != "PLAINTEXT", config.security_protocol == "SASL_SSL"

    def own(self) -> Iterator[Finding]:
        """What can be told of this client's certificates before any broker is asked."""
        return self._tls.own() if self._secured else iter(())

    def probe(self, server: str) -> Iterator[Finding]:
        """Every step of connecting to HOST:PORT; what comes after one that failed is not tried."""
        host, _, port = server.rpartition(":")
        host = host.strip("[]")
        try:
            found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            yield failed(NAME, server, f"has no address: {said(error)}", "check the name for a slip, and this machine's DNS (`getent hosts`)")
            yield from _rest(server, TCP)
            return
        addresses = list(dict.fromkeys(f[4][:2] for f in found))
        yield ok(NAME, server, ", ".join(str(a[0]) for a in addresses))
        wire, why = self._connect(addresses)
        if wire is None:
            yield failed(TCP, server, why, "see that the broker runs, that the port is right, and that no firewall stands between")
            yield from _rest(server, TLS)
            return
        try:
            yield ok(TCP, server, "connected")
            yield from self._through(wire, server, host, addresses)
        finally:
            wire.close()

    def _connect(self, addresses: list[tuple[Any, ...]]) -> tuple[Wire | None, str]:
        problems = []
        for address in addresses:
            try:
                return Wire(socket.create_connection(address, self._timeout_s), self._timeout_s), ""
            except ConnectionRefusedError:
                problems.append(f"{address[0]} refuses: nothing listens on port {address[1]}")
            except TimeoutError:
                problems.append(f"{address[0]} does not answer within {self._timeout_s:g} s")
            except OSError as error:
                problems.append(f"{address[0]}: {said(error)}")
        return None, "; ".join(problems)

    def _through(self, wire: Wire, server: str, host: str, addresses: list[tuple[Any, ...]]) -> Iterator[Finding]:
        if not self._secured:
            yield not_tried(TLS, server, "kafka.security_protocol is PLAINTEXT")
        elif not self._tls.usable:
            yield from _rest(server, TLS)
            return
        else:
            yield (secured := self._tls.handshake(wire, server, host, addresses))
            if secured.state == FAILED:
                yield from _rest(server, KAFKA)
                return
        yield (greeted := self._greet(wire, server))
        yield self._who(wire, server, host) if greeted.state != FAILED else not_tried(SASL, server, "the step before it failed")

    def _greet(self, wire: Wire, server: str) -> Finding:
        try:
            wire.greet()
        except NotKafkaError as error:
            return failed(KAFKA, server, str(error), "set kafka.security_protocol to SSL or SASL_SSL" if error.tls else "see that the port is a Kafka broker's")
        except HungUpError:
            return failed(KAFKA, server, "it hangs up at the first request", "see that the port is a Kafka broker's" if self._secured else
                          "the port may be for TLS: set kafka.security_protocol to SSL or SASL_SSL; else see that it is a Kafka broker's")
        except TimeoutError:
            return failed(KAFKA, server, f"connected, and no answer within {self._timeout_s:g} s", "the broker may be frozen or overloaded: see its log")
        except OSError as error:
            return self._tls.objected(error, server) or failed(KAFKA, server, said(error), _LOG_STEP)
        return ok(KAFKA, server, "a Kafka broker answers")

    def _who(self, wire: Wire, server: str, host: str) -> Finding:
        protocol = self._config.security_protocol
        try:
            if self._named:
                wire.authenticate(self._config.sasl_mechanism, host, self._keywords)
            self.advertised |= {f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name, port in wire.brokers()}
        except SaslError as error:
            return self._disbelieved(error, server)
        except HungUpError:
            if self._named:
                return failed(SASL, server, "it hangs up while it is told who this is", _LOG_STEP)
            return failed(SASL, server, f"the broker wants to know who this is, and kafka.security_protocol is {protocol}",
                          "set kafka.security_protocol to SASL_SSL, with kafka.username and kafka.password_file")
        except (OSError, NotKafkaError, ValueError, struct.error) as error:
            return failed(SASL, server, f"it could not be finished: {said(error)}", _LOG_STEP)
        if not self._named:
            return not_tried(SASL, server, f"kafka.security_protocol is {protocol}")
        return ok(SASL, server, f"{self._config.username} by {self._config.sasl_mechanism}")

    def _disbelieved(self, error: SaslError, server: str) -> Finding:
        user, mechanism = self._config.username, self._config.sasl_mechanism
        if error.code == _UNSUPPORTED_MECHANISM:
            return failed(SASL, server, f"it does not offer {mechanism}, but {', '.join(error.mechanisms) or 'nothing'}",
                          "set kafka.sasl_mechanism to one that it offers, or enable this one on the broker (sasl.enabled.mechanisms)")
        if error.code == _ILLEGAL_STATE:
            return failed(SASL, server, "it does no SASL on this port", "set kafka.security_protocol to SSL, or take the port of its SASL_SSL listener")
        if mechanism == "PLAIN":
            return failed(SASL, server, f"wrong password, or it knows no user {user!r}", "see kafka.username and kafka.password_file: PLAIN tells not which")
        # whom it does not know it refuses at the first message, before any proof of a password
        if error.step == 0:
            return failed(SASL, server, f"it knows no user {user!r} with {mechanism}", "see kafka.username, or make it: `wattlake log grant --password-file`")
        return failed(SASL, server, f"wrong password for {user!r}", "see kafka.password_file (or WATTLAKE_KAFKA_PASSWORD): it may have been changed")


def _rest(server: str, first: str) -> Iterator[Finding]:
    return (not_tried(step, server, "the step before it failed") for step in _STEPS[_STEPS.index(first) :])
