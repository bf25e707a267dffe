"""The configuration: wattlake.toml, overridden by WATTLAKE_* variables, overridden by options."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, get_args, get_type_hints

import msgspec

from wattlake_contracts.errors import UsageError

#: The least that kafka.max_record_bytes may be: any reading fits, of whatever names, each of which may have MAX_TEXT_BYTES.
LEAST_RECORD_BYTES = 150_000


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
    shards: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    #: a pause between two readings longer than this is marked as imputed
    long_gap_s: Annotated[float, msgspec.Meta(ge=0.001, le=31_536_000)] = 300.0
    #: compressed bytes of log that one round of landing takes at most
    round_mib: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] = 1024


class KafkaConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How Kafka is reached, and how the agent ships to it. The password is no key: it comes from a file or WATTLAKE_KAFKA_PASSWORD."""

    #: what the names of all topics begin with
    prefix: str = "wattlake."
    #: never a password over an unencrypted connection
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = "SCRAM-SHA-512"
    username: str = ""
    password_file: str = ""
    #: PEM files: whom to trust (the system's authorities if empty), and who this is
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password_file: str = ""
    #: PEM file with this node's Ed25519 key, as `wattlake log key` makes it; records are not signed if empty
    signing_key_file: str = ""
    #: where records wait for the broker; `spool` under the data home if empty
    spool_dir: str = ""
    #: bytes sent and not acknowledged yet
    in_flight_mib: Annotated[float, msgspec.Meta(ge=1, le=1024)] = 8.0
    #: how fast what piled up while the broker was away is sent after it, beside what is new
    replay_mib_per_s: Annotated[float, msgspec.Meta(gt=0, le=1024)] = 4.0
    #: a producer that has something on its way and hears of no acknowledgement for longer is built anew
    stuck_s: Annotated[float, msgspec.Meta(ge=5, le=86_400)] = 60.0
    #: the largest record that the topics take
    max_record_bytes: Annotated[int, msgspec.Meta(ge=LEAST_RECORD_BYTES, le=16_000_000)] = 1_000_000


class ReportConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the report presents itself."""

    organisation: str = ""


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Everything that may stand in wattlake.toml."""

    log: str = ""
    lake: str = ""
    agent: AgentConfig = AgentConfig()
    kafka: KafkaConfig = KafkaConfig()
    pipelines: LakeConfig = LakeConfig()
    report: ReportConfig = ReportConfig()


#: The sections and what they hold; '' for what stands before the first one.
SECTIONS: Mapping[str, type[msgspec.Struct]] = {"": Config, "agent": AgentConfig, "kafka": KafkaConfig, "pipelines": LakeConfig, "report": ReportConfig}
#: Variables that are no key of the file.
_OTHER_VARIABLES = ("WATTLAKE_CONFIG", "WATTLAKE_DEBUG", "WATTLAKE_JOB", "WATTLAKE_KAFKA_PASSWORD")


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
    given = _override(table)
    try:
        return msgspec.convert(table, Config, strict=False)
    except msgspec.ValidationError as error:
        raise _wrong(error, file, given) from error


def variable(section: str, key: str) -> str:
    """The environment variable that goes before a key of the file."""
    return "_".join(("WATTLAKE", *filter(None, (section, key)))).upper()


def variables() -> tuple[str, ...]:
    """Every environment variable that means something to Wattlake."""
    keys = ((section, key) for section, struct in SECTIONS.items() for key in struct.__struct_fields__ if section or key not in SECTIONS)
    return (*(variable(section, key) for section, key in keys), *_OTHER_VARIABLES)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """What to say of each WATTLAKE_* variable that means nothing here: most likely it is misspelt, and was meant to do something."""
    known = variables()
    said = []
    for name in sorted(n for n in environment if n.startswith("WATTLAKE_") and n not in known):
        near = get_close_matches(name, known, n=1, cutoff=0.8)
        said.append(f"the variable {name} means nothing to wattlake{f'; did you mean {near[0]}?' if near else ': see docs/configuration.md'}")
    return said


def _wrong(error: msgspec.ValidationError, file: Path, given: Mapping[str, str]) -> UsageError:
    """A value that is none, on the variable or the file that it came from. given: variable by path of its key."""
    what, _, at = str(error).partition(" - at ")
    path = re.sub(r"\[[0-9.]+\]", "", at.strip("`")).removeprefix("$").removeprefix(".")
    section, _, key = path.rpartition(".")
    allowed = get_args(get_type_hints(SECTIONS[section]).get(key)) if what.startswith("Invalid enum value") and section in SECTIONS else ()
    if name := given.get(path):
        wanted = what.removesuffix(", got `str`").replace("Expected", "expected").replace("`float`", "a number").replace("`int`", "a whole number")
        wanted = f"expected {_one_of(allowed)}" if allowed else wanted.replace("`bool`", "true or false")
        return UsageError(f"{os.environ[name]!r} will not do: {wanted}", subject=f"the variable {name}",
                          next_step="mend it, or unset it; see docs/configuration.md")
    if allowed:
        return UsageError(f"{what.removeprefix('Invalid enum value ')} will not do for {path}", subject=str(file), next_step=f"write {_one_of(allowed)}")
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL):
        return _unknown(unknown[1], path, file)
    step = f"write it as a section, [{path}]" if path in SECTIONS else "mend it"
    return UsageError(str(error), subject=str(file), next_step=f"{step}; see docs/configuration.md")


def _unknown(key: str, section: str, file: Path) -> UsageError:
    """A key that there is not in a section ('' for what stands before the first one), with what was likely meant and all that there are."""
    keys = {name: f"[{name}]" if not section and name in SECTIONS else name for name in SECTIONS[section].__struct_fields__}
    place = f"in [{section}]" if section else "before the first section"
    elsewhere = [f"in [{other}]" if other else "before the first section" for other, struct in SECTIONS.items() if key in struct.__struct_fields__]
    near = get_close_matches(key, keys, n=1)
    meant = f"did you mean {keys[near[0]]}? " if near else f"it stands {elsewhere[0]}; " if elsewhere else ""
    return UsageError(f"there is no key {key} {place}", subject=str(file),
                      next_step=f"{meant}{place} may stand {', '.join(keys.values())}; see docs/configuration.md")


def _one_of(values: Sequence[object]) -> str:
    return f"{', '.join(map(str, values[:-1]))} or {values[-1]}"


def _override(table: dict[str, object]) -> dict[str, str]:
    """Take WATTLAKE_LOG, WATTLAKE_LAKE and WATTLAKE_<SECTION>_<KEY> over what the file says; give those taken, by path of their key."""
    taken = {}
    for section, struct in SECTIONS.items():
        for key in struct.__struct_fields__:
            if not section and key in SECTIONS:
                continue
            name = variable(section, key)
            value = os.environ.get(name)
            # an empty log or lake is none: such a variable overrides nothing
            if value is None or not (section or value):
                continue
            inner = table.setdefault(section, {}) if section else table
            if isinstance(inner, dict):
                inner[key] = value.split(",") if key == "readers" else value
                taken[f"{section}.{key}" if section else key] = name
    return taken
