"""Making a log's topics, and mending those that are there."""

from __future__ import annotations

import time
from collections.abc import Iterator

from wattlake_agents.log.brokers import UNKNOWN_TOPIC, Brokers
from wattlake_agents.log.topic_set import SETTINGS, Asked, Difference, Finding, Wanted, differences, topic_set
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import UsageError

#: So long may it take until every broker knows of a change.
_HEARD_S, _POLL_S = 10.0, 0.1

AS_WANTED, DIFFERS, NOT_KNOWN, MISSING, MADE, ALTERED, FAILED = "as wanted", "differs", "not known", "missing", "made", "altered", "failed"


def make(cluster: Brokers, config: KafkaConfig, asked: Asked, *, alter: bool, dry_run: bool) -> list[Finding]:
    """Make the topics that are missing; change those that are there only if told to. Gives how each stands afterwards.

    alter: change settings that differ, and add partitions. dry_run: change nothing, but ask the brokers whether they would.
    UsageError if more copies are asked for than there are brokers.
    """
    # with those that are down: topics that are made meanwhile must not be left with fewer copies for ever
    brokers = cluster.registered()
    if asked.replication is not None and asked.replication > brokers:
        raise UsageError(f"{asked.replication} copies need as many brokers, and there are {brokers}", subject="--replication",
                         next_step=f"give at most {brokers}")
    wanted = topic_set(config, asked, brokers)
    found = look(cluster, wanted)
    missing = [f for f in found if f.state == MISSING]
    if missing:
        refused = cluster.create({f.wanted.name: {"num_partitions": f.wanted.partitions, "replication_factor": f.wanted.replication,
                                                  "configs": dict(f.wanted.settings)} for f in missing}, dry_run=dry_run)
        for finding in missing:
            finding.problem = refused.get(finding.wanted.name, "")
            finding.state = FAILED if finding.problem else MISSING if dry_run else MADE
        _wait([f.wanted.name for f in missing if f.state == MADE], cluster)
    if alter and not dry_run:
        for before, now in _settled(cluster, [f for f in found if f.state == DIFFERS and _mend(cluster, f)]):
            before.there, before.settings, before.differences = now.there, now.settings, now.differences
            before.state = now.state if now.differences else ALTERED
    return found


def _settled(cluster: Brokers, mended: list[Finding]) -> Iterator[tuple[Finding, Finding]]:
    """(before, after) of what was changed, when the broker that is asked has heard of it."""
    until = time.monotonic() + _HEARD_S
    while True:
        now = look(cluster, [f.wanted for f in mended])
        if time.monotonic() > until or all(before.problem or not any(not d.fixed for d in after.differences)
                                           for before, after in zip(mended, now, strict=True)):
            return zip(mended, now, strict=True)
        time.sleep(_POLL_S)


def _wait(names: list[str], cluster: Brokers) -> None:
    """Until topics that were just made can be written to: who comes right after this finds them."""
    until = time.monotonic() + _HEARD_S
    while names and time.monotonic() < until:
        if all(t.there and t.partitions and all(p.leader >= 0 for p in t.partitions) for t in cluster.topics(names)):
            return
        time.sleep(_POLL_S)


def look(cluster: Brokers, wanted: list[Wanted]) -> list[Finding]:
    """How each topic stands; changes nothing."""
    if not wanted:
        return []
    names = [w.name for w in wanted]
    topics = cluster.topics(names)
    settings = cluster.settings([t.name for t in topics if t.there], SETTINGS) if any(t.there for t in topics) else {}
    found = []
    for each, topic in zip(wanted, topics, strict=True):
        if topic.there:
            amiss = differences(each, topic, settings[topic.name])
            found.append(Finding(each, _state(amiss), topic, settings[topic.name], amiss))
        elif topic.error == UNKNOWN_TOPIC:
            found.append(Finding(each, MISSING))
        else:
            found.append(Finding(each, FAILED, problem="this principal may not see it (it needs DESCRIBE)"))
    return found


def _state(amiss: list[Difference]) -> str:
    """Of a topic that is there. What this principal may not read is no difference, nor is it as wanted."""
    return AS_WANTED if not amiss else NOT_KNOWN if all(d.unread for d in amiss) else DIFFERS


def _mend(cluster: Brokers, finding: Finding) -> bool:
    """Change what can be changed; whether anything was."""
    open_to_change = [d for d in finding.differences if not d.fixed]
    name, problems = finding.wanted.name, []
    if any(d.name == "partitions" for d in open_to_change):
        problems.append(cluster.widen(name, finding.wanted.partitions))
    if settings := {d.name: d.value for d in open_to_change if d.value}:
        problems.append(cluster.set(name, settings))
    finding.problem = "; ".join(filter(None, problems))
    return bool(open_to_change)
