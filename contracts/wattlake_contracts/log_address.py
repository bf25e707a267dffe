"""Where the log is: a folder, or Kafka's brokers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from wattlake_contracts.config import Config, KafkaConfig, data_home
from wattlake_contracts.errors import UsageError
from wattlake_contracts.filelog.format import MAX_RECORD_BYTES

#: What says where the spool of a log on Kafka lies, as a user is told.
SPOOL_DIR = "kafka.spool_dir (WATTLAKE_KAFKA_SPOOL_DIR)"
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})")


@dataclass(frozen=True)
class FileLog:
    """A file log in a folder."""

    root: Path

    def __str__(self) -> str:
        return str(self.root)

    @property
    def address(self) -> str:
        """As --log takes it."""
        return f"file:{self.root}"


@dataclass(frozen=True)
class KafkaLog:
    """A log on Kafka. servers: HOST:PORT of some of its brokers; the others are learnt from them."""

    servers: tuple[str, ...]

    def __str__(self) -> str:
        return self.address

    @property
    def address(self) -> str:
        """As --log takes it."""
        return f"kafka:{','.join(self.servers)}"


def log_address(config: Config, option: str | None = None) -> FileLog | KafkaLog:
    """The log: option, else configuration, else a file log under the data home. UsageError if what was given is no address."""
    address = option or config.log
    if not address:
        return FileLog(data_home() / "log")
    scheme, colon, rest = address.partition(":")
    if colon and scheme == "file" and rest:
        return FileLog(Path(rest))
    if colon and scheme == "kafka":
        servers = tuple(part.strip() for part in rest.split(","))
        for server in servers:
            found = _SERVER.fullmatch(server)
            if not found or not 0 < int(found[2]) < 65536:
                raise UsageError(f"{server!r} is no broker's address", subject=address, next_step="write kafka:HOST:PORT, several with commas between them")
        return KafkaLog(servers)
    raise UsageError(f"{address!r} is no log address", next_step="write file:DIR or kafka:HOST:PORT")


def record_limit(address: FileLog | KafkaLog, config: KafkaConfig) -> int:
    """The largest record, in bytes, that a log takes: what is larger is refused where it is written, and not by a broker when others have gone before."""
    return min(MAX_RECORD_BYTES, config.max_record_bytes) if isinstance(address, KafkaLog) else MAX_RECORD_BYTES


def spool_root(config: Config, option: str | None = None) -> Path:
    """The folder that a writer on this machine writes to: the file log itself, or the spool from which the agent ships to Kafka."""
    address = log_address(config, option)
    if isinstance(address, FileLog):
        return address.root
    return Path(config.kafka.spool_dir) if config.kafka.spool_dir else data_home() / "spool"


def lake_root(config: Config, option: str | None = None, log: str | None = None) -> Path:
    """The lake's folder: option, else configuration, else `lake` beside the log that is given or configured.

    So two logs are never mixed in one lake unless somebody says so; a log on Kafka has nothing beside
    it, and its lake lies under the data home. log: the --log of a command that has one.
    """
    if told := option or config.lake:
        return Path(told)
    address = log_address(config, log)
    # absolute, so that a log that is the current folder has something beside it
    return address.root.absolute().parent / "lake" if isinstance(address, FileLog) else data_home() / "lake"
