"""Which topic is to blame for an error, where it is one topic that takes no records and not the brokers that do not answer."""

from __future__ import annotations

from wattlake_contracts.kinds import TOPICS

#: What kafka-python calls it where a topic is not there, may not be written, or has no leader.
_ERRORS = frozenset({"TopicAuthorizationFailedError", "UnknownTopicOrPartitionError", "UnknownTopicIdError", "InvalidTopicError", "LeaderNotAvailableError"})


def blamed(error: BaseException, own: str, prefix: str) -> str:
    """The topic, with its prefix; '' if none is. own: that of the record which failed with the error.

    After one topic's error kafka-python fails all that its producer still has with the same one, so a record of another topic may have it.
    """
    if type(error).__name__ not in _ERRORS:
        return ""
    told = error.args[0] if error.args else None
    names = [told] if isinstance(told, str) else list(told) if isinstance(told, set | frozenset) else []
    return next((name for name in names if name.startswith(prefix) and name.removeprefix(prefix) in TOPICS), own)
