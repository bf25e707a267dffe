"""What errors of Python and of kafka-python say, without the names of their classes: those are for who reads the source."""

from __future__ import annotations

import re

#: As kafka-python writes them before, and within, what it says, with the broker's number if one has said it.
_CLASS = re.compile(r"(?:\[Error [^\]]*\] )?\b[A-Z]\w*Error(?:: |$)")
_NUMBER = re.compile(r"^\[Err(?:or|no) [^\]]*\] ")


def plainly(error: BaseException) -> str:
    """What an error says; the name of its class where it says nothing else. It may have several lines."""
    name = type(error).__name__
    text = _NUMBER.sub("", str(error)).strip()
    if text == name or text.startswith(f"{name}: "):
        # of kafka-python: what a broker's error means its class knows, in Kafka's word for it and at length; its argument may be but a topic's name
        given = [part for a in error.args if (part := _argument(a))]
        word, meaning = (str(getattr(error, name, None) or "") for name in ("message", "description"))
        text = ": ".join([word.replace("_", " ").capitalize(), *given] if word.isupper() and given else given or [meaning.rstrip(".")])
    elif isinstance(error, KeyError):
        text = f"there is no {text}"
    elif isinstance(error, MemoryError):
        text = text or "memory has run out"
    return text.strip() or name


def without_classes(text: str) -> str:
    """A text of kafka-python's, without the classes of errors that it quotes."""
    return _CLASS.sub("", text).strip().removesuffix(":") or text


def of_code(code: int) -> str:
    """What an error code of Kafka's protocol means, and the code, for a search."""
    from kafka.errors import for_code

    return f"{plainly(for_code(code)())} (Kafka's error {code})"


def _argument(argument: object) -> str:
    if isinstance(argument, BaseException):
        return plainly(argument)
    if isinstance(argument, set | frozenset):
        return ", ".join(sorted(str(one) for one in argument))
    return "" if argument is None else without_classes(str(argument))
