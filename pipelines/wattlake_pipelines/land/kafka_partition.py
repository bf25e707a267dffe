"""A partition of a topic under the name that the lake knows it by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NAME = re.compile(r"(?P<topic>[^/@]+)/(?P<number>\d+)@(?P<generation>[^/@]+)")


@dataclass(frozen=True)
class KafkaPartition:
    """topic: without prefix. number: counts from 0 within the topic. generation: the topic's id, another one when it is made anew."""

    topic: str
    number: int
    generation: str

    @property
    def name(self) -> str:
        """Its name in the lake."""
        return f"{self.topic}/{self.number}@{self.generation}"

    @classmethod
    def named(cls, name: str) -> KafkaPartition:
        """The partition of that name; ValueError if it is not the name of one."""
        if (found := _NAME.fullmatch(name)) is None:
            raise ValueError(f"{name!r} is not the name of a partition: TOPIC/NUMBER@GENERATION")
        return cls(found["topic"], int(found["number"]), found["generation"])


def highest_numbers(names: Iterable[str]) -> dict[tuple[str, str], int]:
    """(topic, generation) → the highest number among the partitions of these names; ValueError as of KafkaPartition.named."""
    highest: dict[tuple[str, str], int] = {}
    for partition in map(KafkaPartition.named, names):
        made = partition.topic, partition.generation
        highest[made] = max(partition.number, highest.get(made, 0))
    return highest
