"""The jars of Kafka: listed in `kafka.lock`, fetched once, checked, kept in the user's cache folder.

A jar comes from the cache, else from the local Maven repository, else from Maven Central (or from the repository that
`KAFKA_FACADE_MAVEN_REPOSITORY` names). Jars without the locked SHA-256 are rejected. A jar is moved into the
cache after its check, so that a matching size is enough later, and several processes can fetch at the same time.
"""

import asyncio
import errno
import hashlib
import os
import shutil
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import platformdirs

from kafka_facade_devstack.errors import DevStackError

REPOSITORY_VARIABLE = "KAFKA_FACADE_MAVEN_REPOSITORY"
_CHUNK = 256 * 1024
_CONNECTIONS = 8
_TIMEOUT_SECONDS = 30

Progress = Callable[[int], None]
"""Takes the count of bytes that arrived since the last call; called from several threads."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One locked jar: Maven coordinate `group:name:version`, size in bytes, SHA-256 in hexadecimal."""

    coordinate: str
    size: int
    sha256: str

    @property
    def path(self) -> str:
        """Path within a Maven repository."""
        group, name, version = self.coordinate.split(":")
        return f"{group.replace('.', '/')}/{name}/{version}/{name}-{version}.jar"


class _CancelledError(Exception):
    pass


def load_lock() -> list[Artifact]:
    """Reads the lock file that ships with the package."""
    document = tomllib.loads(files("kafka_facade_devstack").joinpath("kafka.lock").read_text(encoding="utf-8"))
    return [Artifact(**row) for row in document["artifact"]]


def cache_dir() -> Path:
    """Folder of the user's cache that holds the jars, laid out as a Maven repository."""
    return Path(platformdirs.user_cache_dir("kafka-facade")) / "maven"


def missing(artifacts: Sequence[Artifact], cache: Path) -> list[Artifact]:
    """Return the artifacts that the cache does not have in the locked size."""
    return [artifact for artifact in artifacts if not _has_size(cache / artifact.path, artifact.size)]


async def fetch(artifacts: Sequence[Artifact], cache: Path, progress: Progress = lambda _: None) -> list[Path]:
    """Downloads missing jars into the cache and returns the class path, in the order of `artifacts`.

    Raises DevStackError when there is no network, no space, or when a jar differs from the lock.
    """
    wanted = missing(artifacts, cache)
    if wanted:
        stop = threading.Event()
        pool = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="fetch")
        loop = asyncio.get_running_loop()
        tasks = [loop.run_in_executor(pool, _obtain, artifact, cache, progress, stop) for artifact in wanted]
        try:
            await asyncio.gather(*tasks)
        except OSError as error:
            raise DevStackError(_explain(error, cache)) from error
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            await asyncio.gather(*tasks, return_exceptions=True)
    return [cache / artifact.path for artifact in artifacts]


def _obtain(artifact: Artifact, cache: Path, progress: Progress, stop: threading.Event) -> None:
    target = cache / artifact.path
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as sink:
            local = _local_repository() / artifact.path
            if _has_size(local, artifact.size) and _sha256(local) == artifact.sha256:
                with local.open("rb") as source:
                    shutil.copyfileobj(source, sink)
                progress(artifact.size)
            else:
                digest = hashlib.sha256()
                for chunk in _download(artifact):
                    if stop.is_set():
                        raise _CancelledError
                    sink.write(chunk)
                    digest.update(chunk)
                    progress(len(chunk))
                if digest.hexdigest() != artifact.sha256:
                    raise DevStackError(
                        f"{artifact.coordinate} from {_repository()} has SHA-256 {digest.hexdigest()}, kafka.lock says "
                        f"{artifact.sha256}: not used; try again, or name another repository in {REPOSITORY_VARIABLE}"
                    )
        part.chmod(0o644)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _download(artifact: Artifact) -> Iterator[bytes]:
    from jgo.util import http

    url = f"{_repository()}/{artifact.path}"
    with http.get(url, stream=True, timeout=_TIMEOUT_SECONDS) as response:
        if response.status_code != 200:
            raise DevStackError(
                f"{url} answered {response.status_code}: try again, or name another repository in {REPOSITORY_VARIABLE}"
            )
        yield from response.iter_content(_CHUNK)


def _repository() -> str:
    from jgo.constants import MAVEN_CENTRAL_URL

    return os.environ.get(REPOSITORY_VARIABLE, "").rstrip("/") or MAVEN_CENTRAL_URL


def _local_repository() -> Path:
    from jgo.constants import default_maven_repo

    return default_maven_repo()


def _explain(error: OSError, cache: Path) -> str:
    if error.errno == errno.ENOSPC:
        return f"no space for Kafka's jars in {cache}: free 100 MB, or set XDG_CACHE_HOME to a folder on another disk"
    if error.errno is not None and error.filename is not None:
        return f"can't write to the cache folder {cache} ({error.strerror}): make it writable, or set XDG_CACHE_HOME"
    return (
        f"can't fetch Kafka's jars from {_repository()} ({type(error).__name__}): the first run needs the network; "
        f"check the connection and HTTPS_PROXY, or name another Maven repository in {REPOSITORY_VARIABLE}"
    )


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
