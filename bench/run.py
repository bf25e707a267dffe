"""Every bench, one after the other: prints the table and writes results.json beside this file.

python bench/run.py [--quick] [--out FILE]

Per core means per second of CPU time, of the process and its children; other work on the machine
then costs less than it does by the clock. Figures taken more than once are medians.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import agent
import attribution
import backlog
import kafka_log
import land
import latency
import log
import msgspec
import size
import start
from figures import Figure, scratch, show

BENCHES = (land, kafka_log, backlog, latency, attribution, size, agent, log, start)


def main() -> int:
    """Run them all; 1 if a goal does not hold, but for --quick, which judges nothing: the table says which do."""
    parser = argparse.ArgumentParser(description="Speed and size against peers and limits.")
    parser.add_argument("--quick", action="store_true", help="tiny input: shows that the benches run, and says little about speed")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"), metavar="FILE",
                        help="where the results go [default: %(default)s]")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    with scratch() as folder:
        for one in BENCHES:
            print(f"{one.__name__} …", file=sys.stderr)
            figures += one.bench(folder, arguments.quick)
    arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    show(figures)
    note = "quick: too little input to judge speed" if arguments.quick else "per core: per second of CPU time; medians where repeated"
    print(f"\n{note}; also in {arguments.out}", file=sys.stderr)
    return int(not arguments.quick and any(figure.holds is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
