"""For who maintains Wattlake: prints a server's lock, made anew from the coordinates asked for (`python -m wattlake_pipelines.dev.locking kafka`)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from wattlake_contracts.errors import UsageError
from wattlake_pipelines.dev.jars import maven, sha256_of

#: What a server is made of. Kafka's tree holds slf4j 1.7, so its backend is of that version too; a job server of Beam is for one version of Flink.
ASKED = {
    "kafka": ("org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36"),
    "flink": ("org.apache.beam:beam-runners-flink-1.19:2.62.0", "org.slf4j:slf4j-jdk14:1.7.36"),
}


def lock(server: str) -> str:
    """The text of a lock: every jar that the coordinates bring at run time, and its sha256. UsageError if there is no such server."""
    if server not in ASKED:
        raise UsageError(f"there is no server {server!r}", next_step=f"one of {', '.join(ASKED)}")
    with tempfile.TemporaryDirectory() as scratch:
        context = maven(Path(scratch))
        asked = [context.create_dependency(coordinate) for coordinate in ASKED[server]]
        for dependency in asked:
            dependency.scope = "compile"
        given, brought = context.resolver.resolve(asked)
        artifacts = [d.artifact for d in (*given, *brought) if d.scope in ("compile", "runtime") and d.artifact.packaging == "jar"]
        lines = {":".join(filter(None, (a.groupId, a.artifactId, a.version, a.classifier))): sha256_of(a.resolve()) for a in artifacts}
    head = [f"# The jars of `wattlake dev {server}`, made by `python -m wattlake_pipelines.dev.locking {server}` from:",
            *(f"#   {coordinate}" for coordinate in ASKED[server]), "[sha256]"]
    return "\n".join([*head, *(f'"{coordinate}" = "{sha256}"' for coordinate, sha256 in lines.items())]) + "\n"


if __name__ == "__main__":
    print(lock(*sys.argv[1:]), end="")
