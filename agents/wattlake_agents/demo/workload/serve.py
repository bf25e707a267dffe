"""Serves the model on loopback, and counts what it answers."""

from __future__ import annotations

import argparse
import json
import random
import signal
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from wattlake_agents.demo.workload.model import Model, decode, encode

_LARGEST_BODY = 65_536
_MOST_TOKENS = 1_000


class Service(HTTPServer):
    """POST /generate {"prompt", "tokens"} continues a text; GET /counters gives the totals since the start."""

    def __init__(self, model: Model) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = model
        self.chance = random.Random(1)  # noqa: S311  # sampling, not a secret
        self.counters: dict[str, int | str] = {"epoch": str(time.time_ns() // 1_000_000), "requests": 0, "tokens_in": 0, "tokens_out": 0}

    def generate(self, prompt: str, count: int) -> str:
        """The continuation; counted only once it is complete."""
        tokens = encode(prompt)
        made = self.model.continue_text(tokens, count, self.chance)
        for name, rise in (("requests", 1), ("tokens_in", len(tokens)), ("tokens_out", len(made))):
            self.counters[name] = int(self.counters[name]) + rise
        return decode(made)


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        if self.path != "/counters":
            self._answer(404, {"error": "GET /counters, POST /generate"})
            return
        self._answer(200, self.server.counters)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/generate" or not 0 < length <= _LARGEST_BODY:
            self._answer(404, {"error": "POST /generate with a small JSON body"})
            return
        try:
            asked = json.loads(self.rfile.read(length))
            prompt, count = str(asked["prompt"]), min(int(asked["tokens"]), _MOST_TOKENS)
        except (ValueError, KeyError, TypeError) as error:
            self._answer(400, {"error": f"needs prompt and tokens: {error}"})
            return
        self._answer(200, {"text": self.server.generate(prompt, count)})

    def _answer(self, status: int, body: Mapping[str, object]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name for it
        """Say nothing of each request."""


def main() -> None:
    """Serve --model until SIGTERM; the port goes into --ready once it listens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--ready", type=Path, required=True)
    given = parser.parse_args()
    with Service(Model.load(given.model)) as service:
        # shutdown() waits for the loop that it ends, so it may not be called from within it
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=service.shutdown).start())
        part = given.ready.with_suffix(".part")
        part.write_text(str(service.server_port))
        part.replace(given.ready)
        service.serve_forever(poll_interval=0.1)
        print(f"served {service.counters}")


if __name__ == "__main__":
    main()
