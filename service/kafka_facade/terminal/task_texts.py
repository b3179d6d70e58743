"""Texts about tasks, from their documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

Document = Mapping[str, Any]

_COLUMNS: Final = ("BROKER", "TYPE", "STATUS", "EXCLUSION", "REPLICAS", "SHUTDOWN", "UPDATED", "MESSAGE")
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
# Small partitions move first: how long the others take is not known before.
_KNOWN_SHARE: Final = 0.01
_MINUTE: Final = 60
MOVING: Final = "moving replicas"
"""The phase that has numbers."""
_HOUR: Final = 60 * _MINUTE


def table(tasks: Sequence[Document]) -> Iterator[str]:
    """Yield the lines of a table."""
    rows = [_COLUMNS, *map(_row, tasks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(task: Document) -> tuple[str, ...]:
    steps = task["sub_task_statuses"]
    return (
        str(task["broker_id"]),
        task["task_type"],
        task["task_status"],
        steps.get("broker_replica_exclusion_status", "-"),
        steps.get("partition_reassignment_status", "-"),
        steps.get("broker_shutdown_status", "-"),
        task["updated_at"],
        message_of(task),
    )


def message_of(task: Document) -> str:
    """Return the message of a task, with its error code if it has one."""
    text: str = task.get("error_message", "")
    return f"{text} (error {task['error_code']})" if "error_code" in task else text


def name_of(task: Document) -> str:
    """Return what a task is called."""
    return f"{task['task_type']} {task['broker_id']}"


def phase(progress: Document) -> str:
    """Return what a task does now."""
    task = progress["task"]
    steps = task["sub_task_statuses"]
    if task["task_status"] != "IN_PROGRESS":
        return "done" if task["task_status"] == "SUCCESS" else "failed"
    match steps.get("partition_reassignment_status"):
        case "IN_PROGRESS":
            return MOVING if progress["partitions_total"] else "planning"
        case "COMPLETED":
            return "waiting for the broker to be stopped"
    return "excluding the broker from new replicas"


def numbers(progress: Document) -> list[str]:
    """Return how much has moved, the time that is left, and how fast it is, the most important first."""
    total: int = progress["bytes_total"]
    if not progress["partitions_total"]:
        return []
    found = [f"{progress['partitions_moved']}/{progress['partitions_total']} partitions"]
    if rate := progress.get("bytes_per_second"):
        if share(progress) >= _KNOWN_SHARE:
            found.append(f"{duration((total - progress['bytes_moved']) / rate)} left")
        found.append(f"{size(rate)}/s")
    return [*found, f"{size(progress['bytes_moved'])} of {size(total)}"]


def line(progress: Document) -> str:
    """Return a task as one line."""
    text = ", ".join((phase(progress), *numbers(progress)))
    message = message_of(progress["task"])
    return f"{name_of(progress['task'])}: {text}{'. ' + message if message else ''}"


def share(progress: Document) -> float:
    """Return the part that has moved, from 0 to 1."""
    unit = "bytes" if progress["bytes_total"] else "partitions"
    moved: int = progress[f"{unit}_moved"]
    total: int = progress[f"{unit}_total"]
    return moved / max(1, total)


def fitting(parts: Iterable[str], room: int) -> str:
    """Join parts as long as they fit into so many characters."""
    text = ""
    for part in parts:
        longer = f"{text}, {part}" if text else part
        if len(longer) > room:
            break
        text = longer
    return text


def size(count: float) -> str:
    """Return a number of bytes for people."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count:.0f} B"


def duration(seconds: float) -> str:
    """Return a time for people."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
