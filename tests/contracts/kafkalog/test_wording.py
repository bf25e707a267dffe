"""Errors of kafka-python as their user is told."""

from __future__ import annotations

import pytest
from kafka import errors

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.kafkalog import wording
from wattlake_contracts.kafkalog.wording import said


@pytest.mark.parametrize("name", sorted(wording.KNOWN))
def test_what_is_behind_an_error_comes_first_and_the_librarys_words_after(name: str) -> None:
    kind = getattr(errors, name)  # one that the library renames is to be found here
    told = said(kind("of its own\nand more"))
    assert told.startswith(f"{wording.KNOWN[name]} [")
    assert name not in told
    assert told.endswith("of its own]")


def test_a_kind_of_a_known_error_is_known() -> None:
    assert said(errors.TopicAuthorizationFailedError("readings")).startswith("the brokers do not let this principal write")


def test_an_error_within_another_is_known() -> None:
    # as kafka-python 3.0 words it, when none of the topics may be written any more
    within = errors.KafkaError(f"Unexpected error in InitProducerIdResponse: {errors.ClusterAuthorizationFailedError()}")
    assert said(within) == (f"{wording.KNOWN['ClusterAuthorizationFailedError']} [Unexpected error in InitProducerIdResponse]")


def test_what_nobody_knows_is_in_its_own_words_and_ours_are_left_alone() -> None:
    assert said(errors.InvalidTopicError("x")).endswith("x")
    assert said(OSError("gone")) == "gone"
    assert said(WattlakeError("so it is")) == "so it is"
