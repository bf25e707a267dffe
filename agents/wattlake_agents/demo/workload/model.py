"""A character model: softmax regression of the next character on the two before it, in plain Python."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

#: The model's alphabet; what is not in it is read as a space.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789 .\n"
_CODES = {character: code for code, character in enumerate(ALPHABET)}
_SPACE = _CODES[" "]
SIZE = len(ALPHABET)


class DivergedError(Exception):
    """The loss has grown instead of falling; there is nothing to be learned at this rate."""


def encode(text: str) -> list[int]:
    """The text's characters as tokens 0 … SIZE - 1."""
    return [_CODES.get(character, _SPACE) for character in text.lower()]


@dataclass(slots=True)
class Model:
    """bias: SIZE weights. last, before: SIZE x SIZE weights of the last character and of the one before it."""

    bias: list[float]
    last: list[list[float]]
    before: list[list[float]]

    @classmethod
    def fresh(cls) -> Model:
        """A model that knows nothing: every next character is equally likely."""
        return cls([0.0] * SIZE, [[0.0] * SIZE for _ in range(SIZE)], [[0.0] * SIZE for _ in range(SIZE)])

    @classmethod
    def load(cls, path: Path) -> Model:
        """The model kept in a JSON file."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        return cls(kept["bias"], kept["last"], kept["before"])

    def save(self, path: Path) -> None:
        """Keep the weights as JSON."""
        path.write_text(json.dumps({"alphabet": ALPHABET, "bias": self.bias, "last": self.last, "before": self.before}), encoding="utf-8")

    @property
    def params(self) -> int:
        """How many weights there are."""
        return SIZE + 2 * SIZE * SIZE

    def odds(self, before: int, last: int) -> tuple[list[float], float]:
        """(weight of each next character, their sum): softmax without its division."""
        scores = [a + b + c for a, b, c in zip(self.bias, self.last[last], self.before[before], strict=True)]
        top = max(scores)
        odds = [math.exp(score - top) for score in scores]
        return odds, sum(odds)

    def learn(self, tokens: list[int], rate: float) -> float:
        """One pass of stochastic gradient descent over the tokens; the mean loss on the way, in bits per character.

        DivergedError if that is more than three times the loss of guessing.
        """
        bits = 0.0
        before, last = tokens[0], tokens[1]
        for token in tokens[2:]:
            odds, total = self.odds(before, last)
            bits -= math.log2(max(odds[token] / total, 5e-324))
            step = rate / total
            rise = [-step * value for value in odds]
            rise[token] += rate
            self.bias = [w + d for w, d in zip(self.bias, rise, strict=True)]
            self.last[last] = [w + d for w, d in zip(self.last[last], rise, strict=True)]
            self.before[before] = [w + d for w, d in zip(self.before[before], rise, strict=True)]
            before, last = last, token
        mean = bits / max(len(tokens) - 2, 1)
        if not mean <= 3 * math.log2(SIZE):
            raise DivergedError(f"{mean:.1f} bits per character; guessing costs {math.log2(SIZE):.1f}")
        return mean

    def loss(self, tokens: list[int]) -> float:
        """The mean loss on text that it has not seen, in bits per character."""
        bits = 0.0
        for before, last, token in zip(tokens, tokens[1:], tokens[2:], strict=False):
            odds, total = self.odds(before, last)
            bits -= math.log2(max(odds[token] / total, 5e-324))
        return bits / max(len(tokens) - 2, 1)

    def continue_text(self, prompt: list[int], count: int, chance: random.Random) -> list[int]:
        """`count` characters after the prompt, each drawn by its probability."""
        before, last = ([_SPACE, _SPACE, *prompt])[-2:]
        made: list[int] = []
        for _ in range(count):
            odds, _total = self.odds(before, last)
            before, last = last, chance.choices(range(SIZE), weights=odds)[0]
            made.append(last)
        return made


def decode(tokens: list[int]) -> str:
    """The text that tokens stand for."""
    return "".join(ALPHABET[token] for token in tokens)
