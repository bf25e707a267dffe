"""Landlock: the kernel itself keeps this process from files that it was not given (Linux 5.13 and later).

Structures and constants: linux/landlock.h (kernel 6.12); system calls 444 to 446 on every architecture.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
#: EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE and MAKE_* are known since version 1
_ALL_V1 = (1 << 13) - 1
#: (version, right added): REFER, TRUNCATE, IOCTL_DEV
_ADDED = ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
#: BIND_TCP and CONNECT_TCP, since version 4; abstract sockets and signals, since version 6
_NET, _SCOPES = 0b11, 0b11
#: rights that apply to a file that is no directory
_FILE_RIGHTS = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 14) | (1 << 15)


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64), ("handled_access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """The Landlock version of this kernel; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))))


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """Keep this thread, and all that it starts, from every file but those beneath these paths, and from TCP.

    Gives the Landlock version in force, 0 if the kernel has none. OSError if it refuses. It must be
    called before other threads exist, for it does not reach them.
    """
    abi = version()
    if abi == 0:
        return 0
    handled = _ALL_V1
    for since, right in _ADDED:
        if abi >= since:
            handled |= right
    libc = _libc()
    ruleset = _Ruleset(handled, _NET if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    # an older kernel refuses a structure with fields that it does not know
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    handle = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0)),
                      "landlock_create_ruleset")
    try:
        for path in readable:
            _allow(libc, handle, path, _READ_FILE | _READ_DIR)
        for path in writable:
            _allow(libc, handle, path, handled & ~1)  # all but executing
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
        _checked(libc.syscall(_RESTRICT_SELF, ctypes.c_int(handle), ctypes.c_uint32(0)), "landlock_restrict_self")
    finally:
        os.close(handle)
    return abi


def _allow(libc: ctypes.CDLL, handle: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # what is not there needs no rule
    try:
        rule = _PathBeneath(rights if path.is_dir() else rights & _FILE_RIGHTS, descriptor)
        _checked(libc.syscall(_ADD_RULE, ctypes.c_int(handle), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)),
                 f"landlock_add_rule {path}")
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result
