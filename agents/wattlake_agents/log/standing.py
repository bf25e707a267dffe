"""How a log stands: its topics on Kafka, or its partitions in a folder."""

from __future__ import annotations

from pathlib import Path

from wattlake_agents.log.brokers import UNKNOWN_TOPIC, Brokers, Topic
from wattlake_agents.log.topic_set import RETENTION, days
from wattlake_contracts.amount import amount
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import partitions, written
from wattlake_contracts.filelog.reader import bounds
from wattlake_contracts.kafkalog.setting_apart import HELD
from wattlake_contracts.kafkalog.unknown import UNKNOWN
from wattlake_contracts.kinds import TOPICS

TOPIC_COLUMNS = ("topic", "state", "partitions", "replication", "under_replicated", "without_leader", "records", "retention_days")
PARTITION_COLUMNS = ("topic", "partition", "leader", "replicas", "in_sync", "first_offset", "end_offset", "records")
FILE_COLUMNS = ("partition", "first_offset", "end_offset", "records", "bytes", "not_shipped")


class Standing:
    """The topics of a log on Kafka. rows, as TOPIC_COLUMNS; by_partition, as PARTITION_COLUMNS; amiss: what is not well, in words.

    unread: topics whose settings this principal may not read, which is well where it need not.
    """

    def __init__(self, cluster: Brokers, prefix: str) -> None:
        self.amiss: list[str] = []
        self.unread: list[str] = []
        topics = cluster.topics([prefix + t for t in TOPICS])
        there = [t for t in topics if t.there]
        self.any = bool(there)
        settings = cluster.settings([t.name for t in there], [RETENTION]) if there else {}
        offsets = cluster.offsets(there)
        self.rows = [self._row(t, offsets, settings.get(t.name, {}).get(RETENTION)) for t in topics]
        self.by_partition: list[tuple[object, ...]] = []
        for topic in there:
            for p in topic.partitions:
                first, end = offsets.get((topic.name, p.number), (None, None))
                held = end - first if first is not None and end is not None else None
                self.by_partition.append((topic.name, p.number, p.leader if p.leader >= 0 else None, p.replicas, p.in_sync, first, end, held))

    def _row(self, topic: Topic, offsets: dict[tuple[str, int], tuple[int, int]], retention: str | None) -> tuple[object, ...]:
        if not topic.there:
            state = "missing" if topic.error == UNKNOWN_TOPIC else "not allowed"
            self.amiss.append(f"{topic.name}: " + ("there is no such topic" if state == "missing" else "this principal may not see it"))
            return (topic.name, state, *(None,) * (len(TOPIC_COLUMNS) - 2))
        behind = sum(p.in_sync < p.replicas for p in topic.partitions)
        leaderless = sum(p.leader < 0 for p in topic.partitions)
        if leaderless:
            self.amiss.append(f"{topic.name}: {leaderless} of {amount(len(topic.partitions), 'partition')} {'has' if leaderless == 1 else 'have'} no leader: "
                             "nothing can be written to them or read")
        elif behind:
            self.amiss.append(f"{topic.name}: {behind} of {amount(len(topic.partitions), 'partition')} {'is' if behind == 1 else 'are'} "
                             "on fewer brokers than should be")
        if retention is None:
            self.unread.append(topic.name)
        held = sum(end - first for (name, _), (first, end) in offsets.items() if name == topic.name)
        state = "no leader" if leaderless else "under-replicated" if behind else "ok"
        return (topic.name, state, len(topic.partitions), topic.replication, behind, leaderless, held, days(retention))


def file_rows(root: Path) -> list[tuple[object, ...]]:
    """One row per partition of a file log, as FILE_COLUMNS. not_shipped: None where nothing ships it. WattlakeError if there is no log.

    What waits apart in a spool, for a topic or for a version, is among them, by its place there.
    """
    rows: list[tuple[object, ...]] = []
    apart = _apart(root)
    for name in [*partitions(root), *apart]:
        folder = root / name
        first, end = bounds(root, name)
        # a cursor is there only where somebody ships
        waiting = cursor.within(cursor.load(folder), first, end) if name in apart or (folder / cursor.CURSOR).is_file() else None
        rows.append((name, first, end, end - first, _bytes(folder), waiting))
    return rows


def _apart(root: Path) -> list[str]:
    """The partitions of a spool in which records wait for a topic that takes none yet, or for a version that knows their kind."""
    return [str((folder / name).relative_to(root)) for what in (HELD, UNKNOWN) for folder in sorted((root / what).glob("*")) if folder.is_dir()
            for name in partitions(folder)]


def spool_backlog(root: Path) -> tuple[int, int]:
    """(records not shipped yet, bytes on disk) of a spool; a partition that the shipper has not seen yet waits as a whole."""
    try:
        names = [*partitions(root), *_apart(root)]
    except WattlakeError:
        return 0, 0
    waiting = sum(cursor.within(cursor.load(root / name), *bounds(root, name)) for name in names)
    return waiting, sum(_bytes(root / name) for name in names)


def _bytes(folder: Path) -> int:
    return sum(size for *_, size in written(folder))
