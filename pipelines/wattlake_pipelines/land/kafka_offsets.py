"""What the leaders of partitions say that these hold, asked so that one who does not answer keeps nobody else's words back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wattlake_contracts.plain_words import plainly

#: Of a partition that is led by nobody, or by a broker that is not reached; an election shows as both, one after the other.
NO_LEADER = "no broker that leads it answers"


class Told(NamedTuple):
    """Partition → offsets [first, end) that it holds, and partition → why that is not known; each partition is in one of the two."""

    held: dict[Any, tuple[int, int]]
    untold: dict[Any, str]


def offsets(admin: Any, leaders: Mapping[Any, int]) -> Told:
    """Ask the leaders. leaders: kafka-python's TopicPartition → its leader's number, below 0 if it has none.

    KafkaError only where a right is lacking; whatever else keeps an answer back is told of its partitions.
    """
    held: dict[Any, tuple[int, int]] = {}
    untold: dict[Any, str] = {}
    for leader in sorted(set(leaders.values())):
        mine = [place for place, by in leaders.items() if by == leader]
        if leader < 0:
            untold |= dict.fromkeys(mine, NO_LEADER)
        else:
            _ask(admin, mine, held, untold)
    return Told(held, untold)


def _ask(admin: Any, places: list[Any], held: dict[Any, tuple[int, int]], untold: dict[Any, str]) -> None:
    """Ask for these, all of one leader; where it has no answer for all of them, for each apart."""
    from kafka.admin import OffsetSpec
    from kafka.errors import AuthorizationError, KafkaConnectionError, KafkaError, KafkaTimeoutError, RequestTimedOutError, UnknownBrokerIdError

    try:
        first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
        # messages of a transaction that is still open, and all after them, are not there yet
        last = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST), isolation_level="read_committed")
    except AuthorizationError:
        raise
    except (KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError, UnknownBrokerIdError):
        # it would not answer for each apart either, and silence takes long
        untold |= dict.fromkeys(places, NO_LEADER)
    except KafkaError as error:
        if len(places) == 1:
            untold[places[0]] = f"its leader does not tell what it holds: {plainly(error)}"
            return
        for place in places:
            _ask(admin, [place], held, untold)
    else:
        held |= {place: (first[place].offset, last[place].offset) for place in places}
