"""What kafka-python raises, in this project's words: what is known to be behind it, and what to do; its own words after them, for a search."""

from __future__ import annotations

import re

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.plain_words import plainly

#: By the name of the class, so that nobody has to import kafka-python to speak of it (names as of 3.0).
KNOWN = {
    # what brokers say to a producer that asks for a number to write with
    "ClusterAuthorizationFailedError": "the brokers let this principal write to no topic at all (`wattlake log grant NAME --may write` lets it)",
    "AuthorizationError": "the brokers do not let this principal write there (`wattlake log grant NAME --may write` does)",
    "UnknownTopicOrPartitionError": "a topic is not there, or this principal may not see it (`wattlake log init` makes topics, `log grant` lets in)",
    "LeaderNotAvailableError": "no broker leads the topic's partitions (`wattlake log status` tells of which, and which brokers are there)",
    "UnknownTopicIdError": "a topic was deleted and made anew",
    "SaslAuthenticationFailedError": "the brokers do not believe who this is (see kafka.username and kafka.password_file)",
    "UnsupportedSaslMechanismError": "the brokers do not offer kafka.sasl_mechanism",
    "NotEnoughReplicasError": "too few brokers are in sync (`wattlake log status` tells of which topic)",
    "NotEnoughReplicasAfterAppendError": "too few brokers are in sync (`wattlake log status` tells of which topic)",
    "MessageSizeTooLargeError": "it is larger than its topic takes (max.message.bytes)",
    "RecordListTooLargeError": "it is larger than its topic takes (max.message.bytes)",
    "InvalidTimestampError": "its topic takes no record of its time (message.timestamp.before.max.ms, after.max.ms)",
    "KafkaStorageError": "a broker cannot write to its disk (see its log)",
    "KafkaTimeoutError": "no broker answers in time (`wattlake doctor` finds the step that fails)",
    "KafkaConnectionError": "a broker cannot be reached (`wattlake doctor` finds the step that fails)",
}
#: An error that kafka-python tells of within another, as it writes it.
_QUOTED = re.compile(r"\[Error \d+\] (\w+Error)\b")


def said(error: BaseException) -> str:
    """An error in a few words on one line: ours, and in brackets those of kafka-python; its alone, where the cause is not known."""
    if isinstance(error, WattlakeError):
        return str(error).splitlines()[0][:300]
    theirs = plainly(error).splitlines()[0][:300]
    names = (*(kind.__name__ for kind in type(error).__mro__), *_QUOTED.findall(str(error)))
    ours = next((KNOWN[name] for name in names if name in KNOWN), None)
    if ours is None:
        return theirs
    return ours if theirs == type(error).__name__ else f"{ours} [{theirs}]"
