"""The entry point of the sandboxed child process for untrusted schemas, started by its path.

Arguments, in this order:

- the file of the job
- the folder of the packages that the job needs
- the CPU time (s; 0 for a job that limits itself)
- the maximum size of files that it may write in the working directory (bytes; 0 for a job that reads and writes nothing
  there)
- the other folders that it may read, joined with ``os.pathsep``
- the arguments of the job

A job is a Python file that imports nothing of this package, with a function ``main(arguments)`` that returns the exit
status. Before it reads any untrusted data, the process restricts itself: resource limits, no new privileges, and, if
the kernel has Landlock, access to the named files only, no execution and no TCP.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import resource
import signal
import sys
from typing import Any

_MEMORY_BYTES = 1 << 30
_OPEN_FILES = 64

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
# The same on every architecture; linux/landlock.h.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _MAKE_REG, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 8, 1 << 14
# Number of file access rights in each Landlock version; later versions have at least as many as the last.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_MOST_FILE_RIGHTS = 16
_TCP_VERSION, _TCP_RIGHTS = 4, 0b11
_SCOPE_VERSION, _SCOPES = 6, 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def _set_limits(cpu_seconds: int, output_bytes: int) -> None:
    for limit, most in (
        (resource.RLIMIT_CPU, cpu_seconds or resource.RLIM_INFINITY),
        (resource.RLIMIT_AS, _MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        if hard != resource.RLIM_INFINITY:
            most = hard if most == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))


def _restrict(folders: list[str], writes: bool) -> bool:
    """Drop privileges and file access. Return whether Landlock is in force."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    # The process ends with the thread that started it.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    rights = (1 << _FILE_RIGHTS.get(version, _MOST_FILE_RIGHTS)) - 1
    rules = _Ruleset(
        rights,
        _TCP_RIGHTS if version >= _TCP_VERSION else 0,
        _SCOPES if version >= _SCOPE_VERSION else 0,
    )
    size = ctypes.sizeof(rules) if version >= _SCOPE_VERSION else 16 if version >= _TCP_VERSION else 8
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    reading = _READ_FILE | _READ_DIR
    writing = reading | _WRITE_FILE | _MAKE_REG | _TRUNCATE
    own = [(".", writing)] if writes else []
    for folder, allowed in [*own, *((folder, reading) for folder in folders if folder)]:
        parent = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        rule = _PathBeneath(allowed & rights, parent)
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0) != 0:
            return False
    return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)


def _load(job: str) -> Any:
    spec = importlib.util.spec_from_file_location("job", job)
    if spec is None or spec.loader is None:
        raise ImportError(job)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments: list[str]) -> int:
    """Run the job and return its exit status."""
    job, packages, cpu_seconds, output_bytes, folders, *rest = arguments
    sys.path.append(packages)
    loaded = _load(job)
    _restrict(folders.split(os.pathsep), writes=int(output_bytes) > 0)
    _set_limits(int(cpu_seconds), int(output_bytes))
    return int(loaded.main(rest))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Skip the interpreter's cleanup: modules that it would import are no longer readable.
    os._exit(code)
