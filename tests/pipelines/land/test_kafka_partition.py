"""The names of partitions: what is told by one is found in it again."""

from __future__ import annotations

import pytest

from wattlake_pipelines.land.kafka_partition import KafkaPartition, highest_numbers


@pytest.mark.parametrize("partition", [
    KafkaPartition("readings", 0, "6f1c8f0e-5f4e-4c3a-9d0a-0f5b6a7c8d9e"), KafkaPartition("team.a_readings-2", 1204, "tQ9-_x")])
def test_a_partition_is_found_by_its_name(partition: KafkaPartition) -> None:
    assert KafkaPartition.named(partition.name) == partition


def test_the_name_is_the_one_that_lakes_hold() -> None:
    assert KafkaPartition("readings", 3, "abc").name == "readings/3@abc"


@pytest.mark.parametrize("name", ["", "readings", "readings/0", "readings/@abc", "readings/-1@abc", "readings/0@", "/0@abc", "a/b/0@abc", "readings/0@abc@d"])
def test_what_is_not_the_name_of_a_partition_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a partition") as told:
        KafkaPartition.named(name)
    assert repr(name) in str(told.value)


def test_the_highest_number_is_that_of_each_topic_and_each_time_it_was_made() -> None:
    names = ["readings/2@a", "readings/10@a", "readings/9@a", "readings/1@b", "jobs/0@c"]
    assert highest_numbers(names) == {("readings", "a"): 10, ("readings", "b"): 1, ("jobs", "c"): 0}
    assert highest_numbers([]) == {}
