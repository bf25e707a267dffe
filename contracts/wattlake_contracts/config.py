"""The configuration: wattlake.toml, overridden by WATTLAKE_* variables, overridden by options."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import msgspec

from wattlake_contracts.errors import UsageError


class AgentConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the node agent does."""

    #: the name of this node; the host name if empty
    node: str = ""
    #: where it stands, as in `wattlake import sites`; unknown if empty
    site: str = ""
    #: the machine's model, for its embodied emissions
    sku: str = ""
    #: seconds between two readings
    interval_s: float = 1.0
    #: seconds between two messages
    flush_s: float = 60.0
    #: which readers to run; all that find something if empty
    readers: tuple[str, ...] = ()
    #: a reader that takes longer is left behind until it answers
    reader_timeout_s: float = 5.0
    #: the spool's size; the oldest records go (and are counted) beyond it
    spool_max_mib: int = 1024
    #: address of the metrics page; empty: none
    metrics: str = "127.0.0.1:9754"
    #: where the agent and the job commands meet; $XDG_RUNTIME_DIR/wattlake or /run/wattlake if empty
    state_dir: str = ""
    #: replace user names by a keyed hash
    pseudonymise: bool = False
    #: file with the key of that hash
    pseudonym_key_file: str = ""
    #: roots of the machine's trees, for tests and for an agent in a container
    sys_root: str = "/sys"
    proc_root: str = "/proc"


class LakeConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the lake is laid out and filled."""

    #: pieces that a day's data is split into, by node; fixed when the lake is made
    shards: int = 1
    #: a pause between two readings longer than this is marked as imputed
    long_gap_s: float = 300.0
    #: compressed bytes of log that one round of landing takes at most
    round_mib: int = 1024


class ReportConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the report presents itself."""

    organisation: str = ""


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Everything that may stand in wattlake.toml."""

    log: str = ""
    lake: str = ""
    agent: AgentConfig = AgentConfig()
    pipelines: LakeConfig = LakeConfig()
    report: ReportConfig = ReportConfig()


def data_home() -> Path:
    """Where log and lake lie unless told otherwise."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "wattlake"


def load(path: str | os.PathLike[str] | None = None) -> Config:
    """The configuration of a file (default: $WATTLAKE_CONFIG, else ./wattlake.toml if it is there).

    UsageError names the file and the key that is unknown or of the wrong type.
    """
    named = path or os.environ.get("WATTLAKE_CONFIG")
    file = Path(named) if named else Path("wattlake.toml")
    table: dict[str, object] = {}
    if named or file.is_file():
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read the configuration: {error.strerror}", subject=str(file), next_step="give another --config") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"is not TOML: {error}", subject=str(file), next_step="mend the line named") from error
    _override(table)
    try:
        return msgspec.convert(table, Config, strict=False)
    except msgspec.ValidationError as error:
        known = "log, lake, [agent], [pipelines], [report]; see docs/configuration.md"
        raise UsageError(f"{error}", subject=str(file), next_step=f"known keys: {known}") from error


def _override(table: dict[str, object]) -> None:
    """Take WATTLAKE_LOG, WATTLAKE_LAKE and WATTLAKE_<SECTION>_<KEY> over what the file says."""
    for name in ("log", "lake"):
        if value := os.environ.get(f"WATTLAKE_{name.upper()}"):
            table[name] = value
    for section, struct in (("agent", AgentConfig), ("pipelines", LakeConfig), ("report", ReportConfig)):
        for field in struct.__struct_fields__:
            value = os.environ.get(f"WATTLAKE_{section.upper()}_{field.upper()}")
            if value is not None:
                inner = table.setdefault(section, {})
                if isinstance(inner, dict):
                    inner[field] = value.split(",") if field == "readers" else value


def log_root(config: Config, option: str | None = None) -> Path:
    """The folder of the file log: option, else configuration, else the data home."""
    address = option or config.log
    if not address:
        return data_home() / "log"
    scheme, colon, rest = address.partition(":")
    if colon and scheme == "file" and rest:
        return Path(rest)
    raise UsageError(f"{address!r} is no log address", next_step="write file:DIR")


def lake_root(config: Config, option: str | None = None) -> Path:
    """The lake's folder: option, else configuration, else the data home."""
    return Path(option or config.lake or data_home() / "lake")
