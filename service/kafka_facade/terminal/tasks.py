"""``kafka-facade tasks``: lists the tasks of brokers, or follows one until it has ended."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from kafka_facade.terminal.gateway import GatewayError, TaskGateway, document
from kafka_facade.terminal.task_texts import (
    MOVING,
    Document,
    fitting,
    line,
    message_of,
    name_of,
    numbers,
    phase,
    share,
    table,
)

Show = Callable[[Document], None]

_STEPS: Final = 1000
# The least bar, the percentage, and what is between the parts of the line.
_AROUND: Final = 10 + 4 + 8
# In place of the bar, which is drawn again below it.
_ANEW: Final = "\r\x1b[K"


def list_tasks(gateway: TaskGateway, task_type: str | None, *, as_json: bool) -> None:
    """Print all tasks, or those of a type. Raises GatewayError."""
    tasks = _tasks(gateway, task_type)
    if as_json:
        click.echo(json.dumps(tasks, indent=2))
    elif not tasks:
        click.echo("There are no tasks.")
    else:
        for text in table(tasks):
            click.echo(text)


def follow_task(gateway: TaskGateway, broker_id: int, task_type: str | None, *, as_json: bool) -> bool:
    """Show a task of a broker until it has ended; return whether it has succeeded. Raises GatewayError.

    Without a type it is the task that is in progress, or else the latest.
    """
    known = [task for task in _tasks(gateway, task_type) if task["broker_id"] == broker_id]
    if not known:
        raise GatewayError(f"Broker {broker_id} has no task{' ' + task_type if task_type else ''}.")
    chosen = max(known, key=lambda task: (task["task_status"] == "IN_PROGRESS", task["updated_at"]))
    shown: Document = {}
    with showing(chosen, as_json=as_json) as show:
        for progress in gateway.follow(broker_id, chosen["task_type"], _warn):
            shown = document(progress)
            show(shown)
    return bool(shown) and shown["task"]["task_status"] == "SUCCESS"


def _tasks(gateway: TaskGateway, task_type: str | None) -> list[Document]:
    found = map(document, gateway.tasks())
    return [task for task in found if task_type is None or task["task_type"] == task_type]


def _warn(text: str) -> None:
    click.echo(f"{_ANEW if sys.stderr.isatty() else ''}kafka-facade: {text}", err=True)


@contextmanager
def showing(task: Document, *, as_json: bool) -> Iterator[Show]:
    """Return what shows a task: as JSON lines, a progress bar in a terminal, or lines."""
    if as_json:
        yield lambda progress: click.echo(json.dumps(progress))
    elif not sys.stdout.isatty():
        yield lambda progress: click.echo(line(progress))
    else:
        label = name_of(task)
        with click.progressbar(
            length=_STEPS,
            label=label,
            width=0,
            show_eta=False,
            # It is drawn after each update, also if it goes back.
            update_min_steps=-_STEPS,
            item_show_func=lambda text: text,
        ) as bar:
            yield _Bar(bar, len(label)).show


class _Bar:
    """A progress bar of replicas that move, with the messages of the task above it."""

    def __init__(self, bar: Any, label_width: int) -> None:
        self._bar = bar
        self._around = label_width + _AROUND
        self._at = 0
        self._said = ""

    def show(self, progress: Document) -> None:
        """Show the task as it is now."""
        task = progress["task"]
        message = message_of(task)
        if message not in ("", self._said):
            click.echo(f"{_ANEW}{message}")
        self._said = message
        parts = numbers(progress)
        now = phase(progress)
        room = shutil.get_terminal_size().columns - self._around
        text = fitting(parts if now == MOVING else (now, *parts), room)
        before, self._at = self._at, _STEPS if task["task_status"] == "SUCCESS" else int(_STEPS * share(progress))
        # Totals may change, so the bar may go back, even from its end.
        self._bar.finished = False
        self._bar.update(self._at - before, text)
