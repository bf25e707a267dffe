"""Makes the data at the store, moves it here over HTTP on loopback, and cleans it."""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import shutil
import threading
import time
import urllib.request
from pathlib import Path

from wattlake_agents.demo.workload.corpus import DATASETS, text

_LENGTH = {"general": 32_000_000, "service": 8_000_000}
_PIECE = 1 << 20


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name for it
        """Say nothing of each request."""


def main() -> None:
    """Fill --store, fetch its files into --data, and write what was moved to --result."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--store", "--data", "--result"):
        parser.add_argument(name, type=Path, required=True)
    given = parser.parse_args()
    given.store.mkdir(parents=True, exist_ok=True)
    given.data.mkdir(parents=True, exist_ok=True)
    for dataset in DATASETS:
        with (given.store / f"{dataset}.txt").open("w", encoding="utf-8") as out:
            out.writelines(text(dataset, _LENGTH[dataset], seed=1))
    began, began_ms = time.monotonic(), time.time_ns() // 1_000_000
    moved = fetch(given.store, given.data)
    seconds = time.monotonic() - began
    print(f"moved {moved:,} bytes in {seconds:.2f} s")
    lines = {dataset: clean(given.data / f"{dataset}.txt") for dataset in DATASETS}
    print(f"kept {lines} lines")
    given.result.write_text(json.dumps({"bytes": moved, "seconds": round(seconds, 3), "began_ms": began_ms, "lines": sum(lines.values())}))


def fetch(store: Path, data: Path) -> int:
    """Fetch every dataset from a web server over the store; the bytes received, counted as they come."""
    handler = functools.partial(_Quiet, directory=str(store))
    moved = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for dataset in DATASETS:
            url = f"http://127.0.0.1:{server.server_port}/{dataset}.txt"
            # past any proxy: the store is on this machine
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(url, timeout=60) as response, (data / f"{dataset}.txt").open("wb") as out:
                while piece := response.read(_PIECE):
                    moved += len(piece)
                    out.write(piece)
        server.shutdown()
    shutil.rmtree(store)
    return moved


def clean(path: Path) -> int:
    """Leave out repeated lines, in place; how many stay."""
    with path.open(encoding="utf-8") as raw:
        lines = dict.fromkeys(raw)
    path.write_text("".join(lines), encoding="utf-8")
    return len(lines)


if __name__ == "__main__":
    main()
