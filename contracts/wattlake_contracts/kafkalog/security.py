"""How Kafka is reached, as kafka-python wants to be told: certificates and passwords come from files or the environment."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import UsageError
from wattlake_contracts.log_address import KafkaLog

PASSWORD_VARIABLE = "WATTLAKE_KAFKA_PASSWORD"  # noqa: S105 - the name of a variable


def connection(log: KafkaLog, config: KafkaConfig) -> dict[str, object]:
    """Keyword arguments of kafka-python's clients. UsageError names the file or key that is missing.

    Read anew each time a client is made, so that a renewed certificate or password is taken up.
    """
    found: dict[str, object] = {"bootstrap_servers": list(log.servers), "security_protocol": config.security_protocol, "client_id": "wattlake",
                                "bootstrap_timeout_ms": 10_000}
    if config.security_protocol != "PLAINTEXT":
        found["ssl_check_hostname"] = True
        for key, argument in (("ca_file", "ssl_cafile"), ("cert_file", "ssl_certfile"), ("key_file", "ssl_keyfile")):
            if path := getattr(config, key):
                found[argument] = _readable(Path(path), key)
        if config.key_file:
            _not_everyones(Path(config.key_file), "kafka.key_file")
        elif config.cert_file and b"PRIVATE KEY" in _content(Path(config.cert_file), "cert_file"):
            _not_everyones(Path(config.cert_file), "kafka.cert_file, which holds a private key,")
        if config.key_password_file:
            found["ssl_password"] = secret(Path(config.key_password_file), "kafka.key_password_file")
    if config.security_protocol == "SASL_SSL":
        if not config.username:
            raise UsageError("kafka.username is missing, and SASL_SSL needs one", next_step="set it, or WATTLAKE_KAFKA_USERNAME")
        found |= {"sasl_mechanism": config.sasl_mechanism, "sasl_plain_username": config.username, "sasl_plain_password": _password(config)}
    return found


def fingerprint(config: KafkaConfig) -> tuple[object, ...]:
    """Something that changes when a certificate, key or password does."""
    files = (config.ca_file, config.cert_file, config.key_file, config.key_password_file, config.password_file, config.signing_key_file)
    return (os.environ.get(PASSWORD_VARIABLE), *(_stamp(path) for path in files if path))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _password(config: KafkaConfig) -> str:
    if config.password_file:
        return secret(Path(config.password_file), "kafka.password_file")
    if password := os.environ.get(PASSWORD_VARIABLE):
        return password
    raise UsageError("there is no password for Kafka", next_step=f"set kafka.password_file, or {PASSWORD_VARIABLE}")


def _readable(path: Path, key: str) -> str:
    if not os.access(path, os.R_OK):
        raise UsageError(f"kafka.{key} cannot be read", subject=str(path), next_step="check the path, and that this user may read it")
    return str(path)


def _content(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"kafka.{key} cannot be read: {error.strerror}", subject=str(path), next_step="give a PEM file") from error


def _not_everyones(path: Path, what: str) -> None:
    """UsageError if everyone may read or write a file; its group may. what: what names the file to its user. OSError if it cannot be seen."""
    if can := [verb for verb, bit in (("read", stat.S_IROTH), ("written", stat.S_IWOTH)) if path.stat().st_mode & bit]:
        step = f"chmod o-rwx {path}" + ("; if others could read it, make another" if "read" in can else "; see that it is still yours")
        raise UsageError(f"{what} can be {' and '.join(can)} by everyone", subject=str(path), next_step=step)


def secret(path: Path, what: str) -> str:
    """The first line of a file that not everyone may read or write. what: what names the file to its user. UsageError if there is no such line."""
    try:
        _not_everyones(path, what)
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{what} cannot be read: {error.strerror}", subject=str(path),
                         next_step="check the path, and that this user may read it") from error
    if not lines or not lines[0]:
        raise UsageError(f"{what} is empty", subject=str(path), next_step="write the password on its first line")
    return lines[0]
