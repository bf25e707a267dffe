"""Trains the model for a number of seconds, from nothing or from another model."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from wattlake_agents import job
from wattlake_agents.demo.workload.model import SIZE, DivergedError, Model, encode

#: The exit code of a run whose loss grew.
DIVERGED = 9
_CHUNK = 2_000
_HELD_OUT = 20_000


def main() -> None:
    """Train on --data and keep the weights in --model; with --labels, as a job that says what it reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--labels", type=json.loads, help="columns of the job, as JSON; without them somebody else speaks for it")
    given = parser.parse_args()
    text = given.data.read_text(encoding="utf-8")
    held_out, learned_from = encode(text[:_HELD_OUT]), text[_HELD_OUT:]
    model = Model.load(given.base) if given.base else Model.fresh()
    with job(**given.labels) if given.labels else nullcontext() as run:
        try:
            tokens = train(model, learned_from, given.rate, given.seconds, print)
        except DivergedError as reason:
            print(f"diverged at rate {given.rate:g}: {reason}", file=sys.stderr)
            sys.exit(DIVERGED)
        reached = model.loss(held_out)
        model.save(given.model)
        print(f"{tokens:,} characters learned from, {reached:.4f} bits per character on held-out text")
        if run is not None:
            run.update(tokens=tokens, params=model.params, precision="fp64",
                       quality_metric="bits_per_char", quality_value=round(reached, 4))


def train(model: Model, text: str, rate: float, seconds: float, say: Callable[[str], None]) -> int:
    """Learn from the text, over and over, until the time is up; how many characters were seen.

    DivergedError as Model.learn says.
    """
    until = time.monotonic() + seconds
    seen = 0
    while time.monotonic() < until:
        at = seen % max(len(text) - _CHUNK, 1)
        chunk = encode(text[at : at + _CHUNK])
        bits = model.learn(chunk, rate)
        if seen % (_CHUNK * 20) == 0:
            say(f"{seen:>9,} of {len(text):,}: {bits:.3f} bits per character (alphabet of {SIZE})")
        seen += len(chunk)
    return seen


if __name__ == "__main__":
    main()
