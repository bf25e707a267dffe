"""Who may write to a log's topics, and who may read them: ACLs, and the password of a SCRAM user."""

from __future__ import annotations

from collections.abc import Sequence

from wattlake_agents.log.brokers import Brokers
from wattlake_contracts.config import KafkaConfig

#: What each part needs and no more. DESCRIBE is needed to find a topic at all; nobody reads in a group.
RIGHTS = {"write": ("WRITE", "DESCRIBE"), "read": ("READ", "DESCRIBE")}
COLUMNS = ("principal", "topic", "right", "state")
#: The principal that stands for all others (of Kafka's ACLs, the only one with a wildcard).
EVERYBODY = "User:*"


def principal_of(name: str) -> str:
    """As Kafka writes it: a bare name is a user's."""
    return name if ":" in name else f"User:{name}"


def user_of(name: str) -> str | None:
    """The user of SCRAM that a principal may be; None if it is everybody, or bears the name of a certificate."""
    user = principal_of(name).removeprefix("User:")
    return None if principal_of(name) in (EVERYBODY, user) or "=" in user else user


def refusals(rows: Sequence[tuple[str, str, str, str]], expected: Sequence[str]) -> tuple[list[tuple[str, str, str, str]], list[str]]:
    """Rows as COLUMNS with `refused` in place of why not, and each reason once. expected: the states that are none."""
    why = dict.fromkeys(state for *_, state in rows if state not in expected)
    return [(principal, topic, right, "refused" if state in why else state) for principal, topic, right, state in rows], list(why)


def grant(cluster: Brokers, config: KafkaConfig, name: str, may: str, topics: Sequence[str], *, dry_run: bool) -> list[tuple[str, str, str, str]]:
    """Let a principal write to topics of the log, or read them; what it has it keeps. Rows as COLUMNS: state is granted, would be granted, or why not.

    may: a key of RIGHTS. topics: without prefix. Each is granted by its full name, so that another set whose prefix begins alike is not let in too.
    """
    principal = principal_of(name)
    wanted = [(config.prefix + topic, right) for topic in topics for right in RIGHTS[may]]
    refused = {} if dry_run else cluster.allow(principal, wanted)
    return [(principal, topic, right, "would be granted" if dry_run else refused.get((topic, right), "granted")) for topic, right in wanted]


def revoke(cluster: Brokers, config: KafkaConfig, name: str, may: str | None, topics: Sequence[str], *, dry_run: bool) -> list[tuple[str, str, str, str]]:
    """Take back what `grant` gave, on topics of the log. Rows as COLUMNS: state is revoked, was not granted, would be revoked, or why not.

    may: a key of RIGHTS; the right to find the topics stays then, for the other one may need it. None: all rights. topics: without prefix.
    """
    principal = principal_of(name)
    rights = [RIGHTS[may][0]] if may is not None else sorted({right for of in RIGHTS.values() for right in of})
    wanted = [(config.prefix + topic, right) for topic in topics for right in rights]
    left = {} if dry_run else cluster.disallow(principal, wanted)
    return [(principal, topic, right, "would be revoked" if dry_run else "revoked" if (topic, right) not in left else left[topic, right] or "was not granted")
            for topic, right in wanted]
