"""Asks the service for text for a number of seconds, and counts on its side."""

from __future__ import annotations

import argparse
import json
import random
import time
import urllib.request
from pathlib import Path

from wattlake_agents.demo.workload.corpus import text

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(port: int, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
    """One request to the service on loopback, and its answer."""
    raw = None if body is None else json.dumps(body).encode()
    with _OPENER.open(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=raw), timeout=30) as response:  # http on loopback
        answer = json.load(response)
    assert isinstance(answer, dict)
    return answer


def main() -> None:
    """Send requests to --port for --seconds, and write the counts to --result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--result", type=Path, required=True)
    given = parser.parse_args()
    chance = random.Random(2)  # noqa: S311  # which prompt comes next, not a secret
    prompts = next(text("service", 1, seed=2)).splitlines()
    counted = {"requests": 0, "tokens_in": 0, "tokens_out": 0}
    until = time.monotonic() + given.seconds
    while time.monotonic() < until:
        prompt = chance.choice(prompts)[: chance.randint(8, 24)]
        answer = str(call(given.port, "/generate", {"prompt": prompt, "tokens": chance.randint(40, 160)})["text"])
        for name, rise in (("requests", 1), ("tokens_in", len(prompt)), ("tokens_out", len(answer))):
            counted[name] += rise
    given.result.write_text(json.dumps(counted))
    print(f"asked {counted}")


if __name__ == "__main__":
    main()
