"""What errors say to users: no names of classes."""

from __future__ import annotations

import errno

import pytest
from kafka import errors

from wattlake_contracts.plain_words import of_code, plainly, without_classes


@pytest.mark.parametrize(("error", "says"), [
    (errors.KafkaTimeoutError("Unable to bootstrap from kafka.example:9092"), "Unable to bootstrap from kafka.example:9092"),
    (errors.TopicAuthorizationFailedError({"b", "a"}), "Topic authorization failed: a, b"),
    (errors.PolicyViolationError(None), "Request parameters do not satisfy the configured policy"),
    (errors.KafkaConnectionError(OSError(errno.ECONNREFUSED, "Connection refused")), "Connection refused"),
    (errors.KafkaConnectionError("Handshake failed: [Error 58] SaslAuthenticationFailedError: wrong password"), "Handshake failed: wrong password"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), "No such file or directory: 'x'"),
    (ValueError("two\nlines"), "two\nlines"),
    (KeyError("x"), "there is no 'x'"),
    (MemoryError(), "memory has run out"),
])
def test_an_error_says_what_it_says_without_its_class(error: BaseException, says: str) -> None:
    assert plainly(error) == says


@pytest.mark.parametrize("error", [AssertionError(), errors.KafkaConnectionError(), ValueError(" "), OSError("\n")], ids=repr)
def test_the_class_of_an_error_that_says_nothing_is_all_there_is(error: BaseException) -> None:
    assert plainly(error) == type(error).__name__


def test_a_text_of_the_librarys_is_cleared_of_the_classes_that_it_quotes() -> None:
    assert without_classes("[Error 40] InvalidConfigurationError: Unknown topic config name: x") == "Unknown topic config name: x"
    assert without_classes("SecurityDisabledError") == "SecurityDisabledError"


def test_a_code_of_the_brokers_is_told_in_words_also_where_the_library_does_not_know_it() -> None:
    assert of_code(54) == "Security features are disabled (Kafka's error 54)"
    assert of_code(30_000) == "An unexpected server error (Kafka's error 30000)"
