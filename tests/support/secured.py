"""A secured Kafka for tests: that of the product with passwords which tests know, or one that lets in whoever has a certificate."""

from __future__ import annotations

from typing import Any

from wattlake_pipelines.dev.authority import Authority
from wattlake_pipelines.dev.secured import ADMIN, BROKER, by_password, with_tls
from wattlake_pipelines.dev.secured import password_client as client_of

_PASSWORDS = {BROKER: "broker-secret", ADMIN: "admin-secret"}


def secured(authority: Authority, *, mutual: bool = False) -> dict[str, Any]:
    """What to give own_kafka for a Kafka that lets in who has a password (SASL_SSL, SCRAM-SHA-512) or, if mutual, a certificate (SSL).

    Nobody but BROKER and ADMIN may do anything until an ACL says so; a user's principal is `User:NAME`, and with certificates
    `User:CN=NAME`. The other users are made with ADMIN's help.
    """
    own = authority.issue(BROKER)
    if mutual:
        admin = authority.issue(ADMIN)
        return {"properties": with_tls(authority, own, "SSL", [f"CN={ADMIN}"]),
                "client": {"security_protocol": "SSL", "ssl_cafile": str(authority.ca_file), "ssl_certfile": str(admin.cert_file),
                           "ssl_keyfile": str(admin.key_file)}}
    made = by_password(authority, own, _PASSWORDS)
    return {"properties": made.properties, "users": made.users, "client": password_client(authority, ADMIN, _PASSWORDS[ADMIN])}


def password_client(authority: Authority, user: str, password: str) -> dict[str, Any]:
    """What kafka-python needs to come in with a password, beside the servers."""
    return client_of(authority.ca_file, user, password)
