"""An executor that completes long lists in time slices, so that it does not block the event loop.

Entries of lists are completed by compiled functions if possible (see ``compiled``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import partial
from inspect import CORO_CREATED, getcoroutinelocals, getcoroutinestate, iscoroutine
from typing import Any, TypeVar
from weakref import ref

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
)
from graphql.execution.values import VariableValues
from graphql.pyutils import Path, gather_with_cancel
from graphql.type.definition import GraphQLResolveInfoHelpers
from msgspec import Raw
from msgspec.json import Encoder
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.paging import MAX_PAGE_SIZE
from kafka_facade.core.time_slices import time_slice
from kafka_facade_graphql.compiled import Complete, compile_selection

_T = TypeVar("_T")

# Lists up to this length are completed at once.
_FEW = 8
# Maximum number of entries that are awaited together; a page of maximum size is loaded at once.
_MOST_WAITING = MAX_PAGE_SIZE
_CANCELLED_AT_ONCE = 8
# Memory for each entry while a list is completed: of an entry that is awaited, for the tasks of its fields.
_BYTES_AN_ENTRY = 1024
_BYTES_AWAITED = 32 * 1024
_encode = Encoder().encode


class CoercedVariables(dict[str, Any]):
    """The values that the caller's variables were coerced to; the dict itself is empty."""

    def __init__(self, coerced: VariableValues) -> None:
        super().__init__()
        self.coerced = coerced


class SlicedExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # graphql-core's helpers refer to the executor, which makes a reference cycle with all loaded data.
        self.async_helpers = GraphQLResolveInfoHelpers(gather=_gather, track=partial(_track, ref(self)))
        # Shared by all events of a subscription, whose executors are copies of one.
        self._roots: dict[str, Any] = {}
        self._compiled: dict[tuple[GraphQLOutputType, int], tuple[Any, Complete | None]] = {}

    @classmethod
    def build(
        cls,
        schema: GraphQLSchema,
        document: DocumentNode,
        root_value: Any = None,
        context_value: Any = None,
        raw_variable_values: dict[str, Any] | None = None,
        *others: Any,
        **named: Any,
    ) -> Any:
        """Return an executor, or a list of errors. Coerced variables are not coerced again."""
        coerced = raw_variable_values.coerced if isinstance(raw_variable_values, CoercedVariables) else None
        if coerced is not None:
            document, raw_variable_values = _without_variables(document), None
        made = super().build(schema, document, root_value, context_value, raw_variable_values, *others, **named)
        if coerced is not None and isinstance(made, cls):
            made.variable_values = coerced
        return made

    def execute_collected_root_fields(
        self, root_type: Any, root_value: Any, grouped_field_set: Any, serially: bool, new_defer_usages: Any
    ) -> Any:
        """Execute the root fields.

        Each event of a subscription collects equal root fields again. Reuse those of the first event, because caches
        have the identity of selections as a key and would grow with each event.
        """
        roots = {name: self._roots.setdefault(name, selected) for name, selected in grouped_field_set.items()}
        return super().execute_collected_root_fields(root_type, root_value, roots, serially, new_defer_usages)

    def complete_iterable_value(
        self,
        item_type: GraphQLOutputType,
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Iterable[Any],
        position_context: Any,
    ) -> Any:
        """Complete the entries of a list, a short one at once."""
        entries = items if isinstance(items, Sequence) else list(items)
        if len(entries) > _FEW:
            return self._complete_long(item_type, field_details_list, info, path, entries, position_context)
        return super().complete_iterable_value(item_type, field_details_list, info, path, entries, position_context)

    async def _complete_long(
        self,
        item_type: GraphQLOutputType,
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Path,
        entries: Sequence[Any],
        position_context: Any,
    ) -> list[Any]:
        size = _BYTES_AN_ENTRY * len(entries)
        if self._compile(item_type, field_details_list) is None:
            size += _BYTES_AWAITED * min(len(entries), _MOST_WAITING)
        patient = info.operation.operation is OperationType.SUBSCRIPTION
        memory = info.context.memory
        async with (memory.event if patient else memory.response).more(size, patient=patient):
            return await self._complete_entries(item_type, field_details_list, info, path, entries, position_context)

    async def _complete_entries(
        self,
        item_type: GraphQLOutputType,
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Path,
        entries: Sequence[Any],
        position_context: Any,
    ) -> list[Any]:
        completed: list[Any] = []
        waiting: list[int] = []
        try:
            for index, entry in enumerate(entries):
                await time_slice()
                place = path.add_key(index, None)
                if self.complete_list_item_value(
                    entry, completed, item_type, field_details_list, info, place, position_context
                ):
                    waiting.append(index)
                else:
                    completed[index] = _encoded(completed[index])
                if len(waiting) == _MOST_WAITING or (waiting and index == len(entries) - 1):
                    begun, waiting = waiting, []
                    results = await _together([_then_encoded(completed[index]) for index in begun])
                    for done, result in zip(begun, results, strict=True):
                        completed[done] = result
        finally:
            # Only after a failure or cancellation: close coroutines that have not started.
            for index in waiting:
                await time_slice()
                _close(completed[index])
        return completed

    def complete_list_item_value(
        self,
        item: Any,
        complete_results: list[Any],
        item_type: GraphQLOutputType,
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        item_path: Path,
        position_context: Any,
    ) -> bool:
        """Complete an entry; return whether it must be awaited."""
        complete = self._compile(item_type, field_details_list)
        if complete is not None:
            counted = info.context.counted()
            try:
                complete_results.append(complete(item, info))
            except Exception as unusual:
                # The executor reports the same error, or handles the unusual entry.
                unusual.__traceback__ = None
                info.context.count_again(counted)
            else:
                return False
        return super().complete_list_item_value(
            item, complete_results, item_type, field_details_list, info, item_path, position_context
        )

    def _compile(self, item_type: GraphQLOutputType, selected: Any) -> Complete | None:
        key = (item_type, id(selected))
        found = self._compiled.get(key)
        if found is None:
            plain = self.middleware_manager is None or not self.middleware_manager.middlewares
            # Keep the list alive, or another list could get the same id.
            found = (selected, compile_selection(self, item_type, selected) if plain else None)
            self._compiled[key] = found
        return found[1]

    def handle_field_error(
        self, raw_error: Exception, return_type: GraphQLOutputType, field_details_list: Any, path: Path
    ) -> None:
        """Record an error without its traceback, whose frames would keep the executor alive."""
        if isinstance(raw_error, FacadeError | GraphQLError):
            raw_error.__traceback__ = None
        super().handle_field_error(raw_error, return_type, field_details_list, path)


def _without_variables(document: DocumentNode) -> DocumentNode:
    """Return the document with operations that declare no variables."""
    definitions = tuple(
        replace(entry, variable_definitions=None) if isinstance(entry, OperationDefinitionNode) else entry
        for entry in document.definitions
    )
    return replace(document, definitions=definitions)


async def _gather(work: Sequence[Awaitable[Any]]) -> list[Any]:
    return await gather_with_cancel(*work)


def _track(executor: ref[SlicedExecutor], work: Sequence[Any]) -> None:
    found = executor()
    if found is not None:
        found.track_async_work(work)


async def _then_encoded(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        # All entries start in the same iteration of the event loop.
        await time_slice()
    except BaseException:
        _close(work)
        raise
    return _encoded(await work)


def _close(work: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine that has not started, and those in its variables, which it would have awaited."""
    variables = getcoroutinelocals(work)
    work.close()
    for value in variables.values():
        for found in value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,):
            if iscoroutine(found) and getcoroutinestate(found) == CORO_CREATED:
                _close(found)


async def _together(work: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Await all; on an error or cancellation, cancel the rest and wait for them to end."""
    tasks = [asyncio.ensure_future(entry) for entry in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None]
        return [task.result() for task in failed or tasks]
    except BaseException:
        await _cancel(tasks)
        raise
    finally:
        # Break the reference cycle: an error's traceback refers to this frame, and a task to its error.
        tasks.clear()


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel the tasks, a few at a time, because each must unwind its stack."""
    for start in range(0, len(tasks), _CANCELLED_AT_ONCE):
        await time_slice()
        some = tasks[start : start + _CANCELLED_AT_ONCE]
        for task in some:
            task.cancel()
        await asyncio.gather(*some, return_exceptions=True)


def _encoded(entry: Any) -> Any:
    """Encode an entry of a long list as JSON at once, so that its objects do not burden the garbage collector."""
    if not isinstance(entry, dict):
        return entry
    try:
        return Raw(_encode(entry))
    except TypeError:
        # It has a long value, which is encoded in pieces later.
        return entry
