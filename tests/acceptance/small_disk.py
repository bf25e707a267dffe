"""A file system of a given size in memory, that can grow, fill up and be made read-only."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
#: of mount(2) and umount2(2), <sys/mount.h>
_READ_ONLY, _REMOUNT, _DETACH = 1, 32, 2


class Disk:
    """A tmpfs mounted at `folder`. OSError where the system does not let this user mount."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder, self.size = folder, size
        folder.mkdir()
        self._mount(0)

    def resize(self, size: str) -> None:
        """Make room, e.g. "64m"."""
        self.size = size
        self._mount(_REMOUNT)

    def fill(self) -> None:
        """Take every byte that is left."""
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(2**20))  # the last one is written in part
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def read_only(self) -> None:
        """From now on nothing can be written, whoever tries."""
        self._mount(_REMOUNT | _READ_ONLY)

    def remove(self) -> None:
        """Unmount; what it held is gone."""
        _LIBC.umount2(os.fsencode(self.folder), _DETACH)

    def _mount(self, flags: int) -> None:
        where = os.fsencode(self.folder)
        if _LIBC.mount(b"tmpfs", where, b"tmpfs", ctypes.c_ulong(flags), f"size={self.size}".encode()):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(self.folder))
