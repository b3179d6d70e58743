"""The folder of one stack: temporary and removed at the end, or kept and reused with the same cluster id."""

import base64
import fcntl
import json
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import IO, Any, Self

from kafka_facade_devstack.errors import DevStackError

_MARKER = "stack.json"
_LOCK = "stack.lock"
_FREE_BYTES_PER_BROKER = 200 * 1024 * 1024


class StackFolder:
    """An open folder: `nodes/` for Kafka's data, `logs/` for each child's log, a marker with its format and cluster
    id."""

    def __init__(self, path: Path, cluster_id: str, lock: IO[str], *, temporary: bool) -> None:
        self.path = path
        self.cluster_id = cluster_id
        self.temporary = temporary
        self._lock = lock

    @property
    def logs(self) -> Path:
        """Folder of the log files."""
        return self.path / "logs"

    def node(self, index: int) -> Path:
        """Folder of broker `index`, from 0."""
        return self.path / "nodes" / str(index + 1)

    @classmethod
    def open(cls, kept: Path | None, brokers: int) -> Self:
        """Opens `kept` (created if absent) or a new temporary folder. Raises DevStackError if it is unusable."""
        path = Path(tempfile.mkdtemp(prefix="kafka-facade-")) if kept is None else kept.absolute()
        try:
            return cls._open(path, brokers, temporary=kept is None)
        except OSError as error:
            raise DevStackError(
                f"can't use the data folder {path} ({error.strerror}): name another with --data-dir"
            ) from error

    @classmethod
    def _open(cls, path: Path, brokers: int, *, temporary: bool) -> Self:
        path.mkdir(parents=True, exist_ok=True)
        marker = path / _MARKER
        entries = {entry.name for entry in path.iterdir()} - {_LOCK}
        if entries and _MARKER not in entries:
            raise DevStackError(f"{path} contains other files: name an empty or new folder with --data-dir")
        lock = (path / _LOCK).open("a", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DevStackError(f"{path} is in use by another stack: stop that stack, or name another folder") from None
        try:
            _check_space(path, brokers)
            cluster_id = _known_cluster(marker, brokers) if entries else _new_cluster(marker, brokers)
            shutil.rmtree(path / "logs", ignore_errors=True)
            (path / "logs").mkdir()
        except BaseException:
            lock.close()
            if temporary:
                shutil.rmtree(path, ignore_errors=True)
            raise
        return cls(path, cluster_id, lock, temporary=temporary)

    def close(self, *, keep_logs: bool) -> None:
        """Unlocks the folder. Removes a temporary one, optionally except its logs."""
        self._lock.close()
        if self.temporary:
            doomed = [entry for entry in self.path.iterdir() if entry != self.logs] if keep_logs else [self.path]
            for entry in doomed:
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)


def _new_cluster(marker: Path, brokers: int) -> str:
    # Kafka's command lines would parse a leading "-" as an option.
    cluster_id = "-"
    while cluster_id.startswith("-"):
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
    write_json(marker, {"cluster_id": cluster_id, "brokers": brokers})
    return cluster_id


def _known_cluster(marker: Path, brokers: int) -> str:
    try:
        document: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8"))
        cluster_id, known = str(document["cluster_id"]), int(document["brokers"])
    except (ValueError, KeyError, TypeError) as error:
        raise DevStackError(f"{marker} can't be read: name another folder with --data-dir") from error
    if known != brokers:
        raise DevStackError(
            f"{marker.parent} contains a cluster of {known}: start it with --brokers {known}, or name another folder"
        )
    return cluster_id


def _check_space(path: Path, brokers: int) -> None:
    needed = brokers * _FREE_BYTES_PER_BROKER
    free = shutil.disk_usage(path).free
    if free < needed:
        raise DevStackError(
            f"no space for Kafka's data in {path}: {free >> 20} MB free, {needed >> 20} MB needed; "
            "free some, or name a folder on another disk with --data-dir"
        )


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Writes a JSON object to `path` atomically."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as sink:
        json.dump(document, sink, indent=2)
        sink.write("\n")
    Path(name).replace(path)
