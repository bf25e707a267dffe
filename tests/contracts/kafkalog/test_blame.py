"""Which topic is to blame for what kafka-python raises."""

from __future__ import annotations

import pytest
from kafka import errors

from wattlake_contracts.kafkalog import blame
from wattlake_contracts.kafkalog.blame import blamed

JOBS, NODES = "w.jobs", "w.nodes"


@pytest.mark.parametrize("name", sorted(blame._ERRORS))
def test_an_error_of_a_topic_that_names_none_is_that_of_the_records_own(name: str) -> None:
    assert blamed(getattr(errors, name)(None), JOBS, "w.") == JOBS
    assert blamed(getattr(errors, name)("This server does not host this topic-partition."), JOBS, "w.") == JOBS


@pytest.mark.parametrize("told", [NODES, {NODES}])
def test_one_that_names_another_topic_is_that_topics(told: object) -> None:
    assert blamed(errors.TopicAuthorizationFailedError(told), JOBS, "w.") == NODES


@pytest.mark.parametrize("error", [errors.KafkaTimeoutError("Failed to update metadata after 5.0 secs."), errors.ClusterAuthorizationFailedError("no"),
                                   errors.MessageSizeTooLargeError(), OSError("gone")])
def test_what_is_no_topics_fault_blames_none(error: BaseException) -> None:
    assert blamed(error, JOBS, "w.") == ""
