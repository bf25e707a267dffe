"""The keys of nodes that sign their records, and whether a message of such a node is signed with one that holds (docs/adr/0016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from wattlake_contracts.kafkalog.message import BY_EVENT, BY_PLACE, Headers, UnreadableError
from wattlake_contracts.kafkalog.signature import signature_of, signed_bytes
from wattlake_contracts.kafkalog.signing import need_cryptography, public_key
from wattlake_contracts.layout import ALIAS
from wattlake_contracts.record import Record
from wattlake_contracts.tables import NODE_KEYS

if TYPE_CHECKING:
    from wattlake_pipelines.lake.committer import Committer

#: Stands for an open end.
_FOREVER_MS = 2**62


class NodeKey(NamedTuple):
    """A key of a node, and for records of which append times it holds: [valid_from_ms, valid_to_ms)."""

    node: str
    public: bytes
    valid_from_ms: int
    valid_to_ms: int


@dataclass(frozen=True)
class NodeKeys:
    """The nodes whose records must be signed, and all their keys. Nodes of which nothing is said may write unsigned."""

    nodes: tuple[str, ...] = ()
    keys: tuple[NodeKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.nodes)

    @cached_property
    def _by_node(self) -> Mapping[str, Mapping[bytes, NodeKey]]:
        found: dict[str, dict[bytes, NodeKey]] = {node: {} for node in self.nodes}
        for key in self.keys:
            if key.node in found:
                found[key.node][key.public] = key
        return found

    def check(self, record: Record, headers: Headers) -> None:
        """UnreadableError, with what to do, if the record is of a node that has keys and the message's signature is not one of these.

        One signature is checked at most, whatever number of keys a node has had: the message says with which key it was signed.
        """
        node, boot = record.meta.node, record.meta.boot
        if (keys := self._by_node.get(node)) is None:
            return
        if boot.startswith((BY_EVENT, BY_PLACE)):
            raise _refused(node, "this message of another program bears its name, and none such is taken", "let it name another key and source")
        if (found := signature_of(headers)) is None:
            raise _refused(node, "this record is not signed", "set kafka.signing_key_file on the node")
        public, signature = found
        if (key := keys.get(public)) is None:
            raise _refused(node, "this record is signed with a key that is none of them", "if it is genuine, add the key with `wattlake lake key add`")
        if not key.valid_from_ms <= record.appended_ms < key.valid_to_ms:
            raise _refused(node, f"this record of {record.appended_ms} ms is signed with one that does not hold at that time", "see `wattlake lake key list`")
        if not _verifies(public, signature, record):
            raise _refused(node, "this record is forged or was altered: the signature is that of another", "find out who writes to the topic in its name")


def _refused(node: str, why: str, step: str) -> UnreadableError:
    return UnreadableError(f"node {node[:200]!r} has keys, and {why}; {step}")


def _verifies(public: bytes, signature: bytes, record: Record) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed_bytes(record))
    except (InvalidSignature, ValueError):  # a ValueError where the record has no bytes to sign
        return False
    return True


#: Of a log that needs no signatures.
NO_KEYS = NodeKeys()


def keys_of(rows: Sequence[tuple[str, str | None, int | None, int | None, bool]]) -> NodeKeys:
    """What the book says. rows: (node, public_key, valid_from_ms, valid_to_ms, required), in the order in which they were added."""
    required: dict[str, bool] = {}
    keys: dict[tuple[str, bytes], NodeKey] = {}
    for node, public, valid_from_ms, valid_to_ms, is_required in rows:
        required[node] = is_required
        if public is not None:
            raw = public_key(public)
            keys[node, raw] = NodeKey(node, raw, 0 if valid_from_ms is None else valid_from_ms, _FOREVER_MS if valid_to_ms is None else valid_to_ms)
    found = NodeKeys(tuple(sorted(node for node, must in required.items() if must)), tuple(keys.values()))
    if found:
        # nothing is landed unchecked for want of it
        need_cryptography()
    return found


def node_keys(committer: Committer) -> NodeKeys:
    """What the book of keys says now. Only a committer writes it, so it holds for all of a round."""
    return keys_of(committer.query(f"SELECT node, public_key, valid_from_ms, valid_to_ms, required FROM {ALIAS}.{NODE_KEYS.name} ORDER BY batch").fetchall())
