"""Probing TLS: whom this client trusts, what it shows of itself, and a handshake with a broker."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wattlake_agents.doctor.certificate import SOON_DAYS, days_left, not_after, not_after_of_file, validity
from wattlake_agents.doctor.finding import Finding, failed, not_tried, ok, said
from wattlake_agents.doctor.wire import CLOSED, HungUpError, Wire
from wattlake_contracts.config import KafkaConfig

TLS, OWN, TRUST = "tls", "client certificate", "authorities"
#: Of OpenSSL (x509_vfy.h).
_NOT_YET, _EXPIRED, _NAMES = 9, 10, (62, 64)
_CA_STEP = "set kafka.ca_file to the PEM file of the authority that signs the brokers' certificates"
_PORT_STEP = "see that the port is the broker's port for TLS: one without TLS does this too"


class Tls:
    """TLS as the configuration wants it. keywords: as kafka-python takes them, with the key's password, which is never told."""

    def __init__(self, config: KafkaConfig, keywords: Mapping[str, object], timeout_s: float) -> None:
        self._config, self._keywords, self._timeout_s = config, keywords, timeout_s
        self._context: ssl.SSLContext | None = None

    @property
    def usable(self) -> bool:
        """Whether `own` found nothing that makes a handshake impossible."""
        return self._context is not None

    def own(self) -> Iterator[Finding]:
        """Whom this client trusts, and the certificate that it shows: once, before any broker."""
        # as kafka-python makes it
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        config, whom = self._config, self._config.ca_file or "the system's"
        try:
            if config.ca_file:
                context.load_verify_locations(config.ca_file)
            else:
                context.load_default_certs()
        except OSError as error:
            yield failed(TRUST, whom, f"cannot be used: {said(error)}", _CA_STEP)
            return
        yield ok(TRUST, whom, "trusted")
        if config.cert_file:
            try:
                end_s = self._load(context)
            except (OSError, ValueError) as error:
                why = {"KEY_VALUES_MISMATCH": "the key is another certificate's", "BAD_DECRYPT": "the key's password is wrong"}
                yield failed(OWN, config.cert_file, f"cannot be used with its key: {why.get(getattr(error, 'reason', None) or '', said(error))}",
                             "set kafka.cert_file and kafka.key_file to PEM files that belong together, and kafka.key_password_file if the key has one")
                return
            yield _aged(OWN, config.cert_file, end_s, "the brokers will refuse it: renew it")
        elif config.security_protocol == "SSL":
            yield not_tried(OWN, "kafka.cert_file", "none is configured: brokers that want one will refuse")
        self._context = context

    def _load(self, context: ssl.SSLContext) -> float:
        """Take this client's certificate; when it ends, in epoch seconds."""
        end_s = not_after_of_file(Path(self._config.cert_file))
        # without a password openssl would ask for one at the terminal
        password: Any = self._keywords.get("ssl_password") or (lambda: "")
        context.load_cert_chain(self._config.cert_file, self._config.key_file or None, password)
        return end_s

    def handshake(self, wire: Wire, server: str, host: str, addresses: Sequence[tuple[Any, ...]]) -> Finding:
        """Go over to TLS with HOST:PORT."""
        assert self._context is not None
        try:
            certificate = wire.handshake(self._context, host)
        except ssl.SSLCertVerificationError as error:
            return self._distrusted(error, server, addresses)
        except (HungUpError, ConnectionError, *CLOSED):
            return failed(TLS, server, "it hangs up during the handshake", _PORT_STEP)
        except TimeoutError:
            return failed(TLS, server, f"no answer to the handshake within {self._timeout_s:g} s", "see that the broker is not frozen, and speaks TLS there")
        except OSError as error:
            return self.objected(error, server) or failed(TLS, server, f"no handshake: {said(error)}", _PORT_STEP)
        return _aged(TLS, server, ssl.cert_time_to_seconds(certificate["notAfter"]), "renew the broker's certificate")

    def objected(self, error: OSError, server: str) -> Finding | None:
        """What to say if the broker objects to this client's certificate, or to there being none; else None."""
        reason = getattr(error, "reason", None) or ""
        if "ALERT" not in reason:
            return None
        what = reason.rpartition("ALERT_")[2].replace("_", " ").lower()
        if not self._config.cert_file:
            return failed(TLS, server, f"the broker wants a client certificate ({what})", "set kafka.cert_file and kafka.key_file")
        return failed(TLS, server, f"the broker refuses the client certificate ({what})",
                      "see that it has not expired, and that an authority has signed it that the broker trusts (ssl.truststore)")

    def _distrusted(self, error: ssl.SSLCertVerificationError, server: str, addresses: Sequence[tuple[Any, ...]]) -> Finding:
        what = error.verify_message.rstrip(".")
        if error.verify_code == _EXPIRED:
            return failed(TLS, server, f"the broker's certificate {self._unverified(addresses)}",
                          "renew the broker's certificate; if it was renewed, see this machine's clock")
        if error.verify_code == _NOT_YET:
            return failed(TLS, server, "the broker's certificate is not valid yet", "see this machine's clock, then the certificate")
        if error.verify_code in _NAMES:
            return failed(TLS, server, f"wrong host name: {what}", "reach the broker by a name in its certificate, or give it a certificate for this one")
        return failed(TLS, server, f"unknown authority: {what}", _CA_STEP + ("; this one signs others" if self._config.ca_file else ""))

    def _unverified(self, addresses: Sequence[tuple[Any, ...]]) -> str:
        """How long the broker's certificate is valid, of one that is not trusted: nothing else is done with it."""
        try:
            pem = ssl.get_server_certificate((str(addresses[0][0]), int(addresses[0][1])), timeout=self._timeout_s)
            return validity(not_after(ssl.PEM_cert_to_DER_cert(pem)))
        except (OSError, ValueError) as error:
            return f"expired, when is not known ({said(error)})"


def _aged(probe: str, subject: str, end_s: float, step: str) -> Finding:
    days = days_left(end_s)
    if days < 0:
        return failed(probe, subject, f"the certificate {validity(end_s)}", step)
    return ok(probe, subject, f"the certificate is {validity(end_s)}", step if days < SOON_DAYS else "")
