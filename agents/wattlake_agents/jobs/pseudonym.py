"""User names as a keyed hash: the same person stays the same, and nobody can read who it is."""

from __future__ import annotations

import getpass
import hashlib
import os
import stat
from pathlib import Path

from wattlake_contracts.config import AgentConfig
from wattlake_contracts.errors import WattlakeError

_DIGEST_BYTES = 12
_FEWEST_KEY_BYTES = 16


def user_name(config: AgentConfig, given: str | None) -> str | None:
    """The user of a job as it goes to the log: as given, else who runs this; hashed where configured.

    An empty name stays out. WattlakeError if the hash is asked for and its key cannot be used.
    """
    name = login() if given is None else given
    if not name:
        return None
    return pseudonym(name, key(config)) if config.pseudonymise else name


def pseudonym(name: str, secret: bytes) -> str:
    """`u-` and 96 bits of the keyed BLAKE2b (RFC 7693) of the name."""
    return "u-" + hashlib.blake2b(name.encode(), key=secret, digest_size=_DIGEST_BYTES, person=b"wattlake-user").hexdigest()


def key(config: AgentConfig) -> bytes:
    """The key of the hash. WattlakeError if its file is missing, too short, or readable by everyone."""
    file = Path(config.pseudonym_key_file)
    make = "make one: (umask 077; head -c 32 /dev/urandom > FILE), and set agent.pseudonym_key_file"
    if not config.pseudonym_key_file:
        raise WattlakeError("agent.pseudonymise is set and no key file is named", subject="agent.pseudonym_key_file", next_step=make)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise WattlakeError(f"cannot read the key of user names: {error.strerror}", subject=str(file), next_step=make) from error
    try:
        if os.fstat(descriptor).st_mode & stat.S_IRWXO:
            raise WattlakeError("everyone may read the key of user names, so it hides nothing", subject=str(file),
                                next_step=f"chmod o-rwx {file}, and make a new key")
        secret = os.read(descriptor, 64).strip()
    finally:
        os.close(descriptor)
    if len(secret) < _FEWEST_KEY_BYTES:
        raise WattlakeError(f"the key of user names has fewer than {_FEWEST_KEY_BYTES} bytes", subject=str(file), next_step=make)
    return secret


def login() -> str | None:
    """Who runs this process, or None if the system has no name for them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
