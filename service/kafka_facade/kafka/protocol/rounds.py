"""Requests whose keys belong to different brokers: find the broker of each key, ask it, and retry transient errors."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from kafka_facade.core.errors import FacadeError

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

Find = Callable[[list[_Key], float], Awaitable[Mapping[_Key, int | FacadeError]]]
"""Finds the broker of each key, within a timeout (s)."""
Ask = Callable[[int, list[_Key], float], Awaitable[Mapping[_Key, _Value | FacadeError]]]
"""Asks a broker for its keys, within a timeout (s)."""

_PAUSE_SECONDS: Final = 0.1


def is_passing(outcome: object) -> bool:
    """Return whether the outcome is a transient error: a broker is new, gone, or has not answered."""
    return isinstance(outcome, FacadeError) and outcome.codes.retriable


async def ask_brokers(
    keys: Sequence[_Key],
    timeout: float,
    find: Find[_Key],
    ask: Ask[_Key, _Value],
    *,
    passing: Callable[[_Value | FacadeError], bool] = is_passing,
    patience: float = math.inf,
) -> dict[_Key, _Value | FacadeError]:
    """Return the answer or error for each key.

    All brokers are asked concurrently, each for all of its keys. Keys with a transient (``passing``) answer are retried
    for ``patience`` (s) after the first answer.
    """
    deadline = time.monotonic() + timeout
    until: float | None = None
    found: dict[_Key, _Value | FacadeError] = {}
    wanted = list(dict.fromkeys(keys))
    while wanted:
        by_node: dict[int, list[_Key]] = defaultdict(list)
        try:
            nodes = await find(wanted, deadline - time.monotonic())
        except FacadeError as error:
            nodes = dict.fromkeys(wanted, error)
        for key, node in nodes.items():
            if isinstance(node, FacadeError):
                found[key] = node
            else:
                by_node[node].append(key)
        left = deadline - time.monotonic()
        for answers in await asyncio.gather(*(_or_error(ask, node, some, left) for node, some in by_node.items())):
            found |= answers
        # Start at the first answer, because a broker that hangs uses up its timeout first.
        if until is None:
            until = min(deadline, time.monotonic() + patience)
        wanted = [key for key in wanted if key in found and passing(found[key])]
        if time.monotonic() + _PAUSE_SECONDS >= until:
            break
        if wanted:
            await asyncio.sleep(_PAUSE_SECONDS)
    return found


async def _or_error(
    ask: Ask[_Key, _Value], node: int, keys: list[_Key], timeout: float
) -> Mapping[_Key, _Value | FacadeError]:
    try:
        return await ask(node, keys, timeout)
    except FacadeError as error:
        return dict.fromkeys(keys, error)
