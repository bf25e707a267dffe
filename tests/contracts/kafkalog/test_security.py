"""Files with secrets that everyone may touch are refused, and told with what to do."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import UsageError
from wattlake_contracts.kafkalog.security import connection, secret
from wattlake_contracts.log_address import KafkaLog
from wattlake_pipelines.dev.authority import Authority

LOG = KafkaLog(("localhost:9093",))
_REFUSED = [(0o604, "read"), (0o602, "written"), (0o606, "read and written"), (0o644, "read")]
_TAKEN = [0o600, 0o400, 0o640, 0o660]


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("secret\n")
    return path


@pytest.fixture
def config(tmp_path: Path) -> KafkaConfig:
    """Of an agent with a certificate."""
    own = Authority(tmp_path).issue("agent")
    return KafkaConfig(security_protocol="SSL", cert_file=str(own.cert_file), key_file=str(own.key_file))


@pytest.mark.parametrize(("mode", "can"), _REFUSED)
def test_a_password_that_everyone_may_read_or_write_is_refused(password: Path, mode: int, can: str) -> None:
    password.chmod(mode)
    with pytest.raises(UsageError, match=f": kafka.password_file can be {can} by everyone") as refused:
        secret(password, "kafka.password_file")
    assert refused.value.subject == str(password)
    assert f"chmod o-rwx {password}" in str(refused.value.next_step)


@pytest.mark.parametrize("mode", _TAKEN)
def test_a_password_of_its_owner_and_group_is_taken(password: Path, mode: int) -> None:
    password.chmod(mode)
    assert secret(password, "kafka.password_file") == "secret"


@pytest.mark.parametrize(("mode", "can"), _REFUSED)
def test_a_private_key_that_everyone_may_read_or_write_is_refused(config: KafkaConfig, mode: int, can: str) -> None:
    Path(config.key_file).chmod(mode)
    with pytest.raises(UsageError, match=f": kafka.key_file can be {can} by everyone") as refused:
        connection(LOG, config)
    assert refused.value.subject == config.key_file
    assert f"chmod o-rwx {config.key_file}" in str(refused.value.next_step)


@pytest.mark.parametrize("mode", _TAKEN)
def test_a_private_key_of_its_owner_and_group_is_taken_and_its_certificate_may_be_everyones(config: KafkaConfig, mode: int) -> None:
    Path(config.key_file).chmod(mode)
    Path(config.cert_file).chmod(0o644)
    assert connection(LOG, config)["ssl_keyfile"] == config.key_file


def test_a_private_key_in_the_file_of_its_certificate_is_held_to_the_same(config: KafkaConfig) -> None:
    both = Path(config.cert_file)
    both.write_bytes(both.read_bytes() + Path(config.key_file).read_bytes())
    config = msgspec.structs.replace(config, key_file="")
    both.chmod(0o644)
    with pytest.raises(UsageError, match=re.escape("kafka.cert_file, which holds a private key, can be read by everyone")):
        connection(LOG, config)
    both.chmod(0o600)
    assert connection(LOG, config)["ssl_certfile"] == str(both)
