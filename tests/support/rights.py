"""What a user of a guarded Kafka may do with single topics."""

from __future__ import annotations

from collections.abc import Iterable

from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from topics import Topics


def rights(topics: Topics, user: str, operations: Iterable[ACLOperation], names: Iterable[str]) -> list[ACL]:
    """One for each operation on each topic. names: of topics, without prefix."""
    wanted = tuple(operations)
    return [ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW,
                ResourcePattern(ResourceType.TOPIC, topics.prefix + name, ACLResourcePatternType.LITERAL)) for name in names for operation in wanted]


def grant(topics: Topics, user: str, operations: Iterable[ACLOperation], names: Iterable[str]) -> None:
    with topics.admin() as admin:
        assert not admin.create_acls(rights(topics, user, operations, names))["failed"]


def take_back(topics: Topics, user: str, operations: Iterable[ACLOperation], names: Iterable[str]) -> None:
    with topics.admin() as admin:
        admin.delete_acls(rights(topics, user, operations, names))
