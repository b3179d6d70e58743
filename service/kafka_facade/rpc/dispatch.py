"""Handlers that turn a gRPC method into a call of the core, derived from the catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Coroutine, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, get_args, get_origin
from weakref import WeakValueDictionary

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import Catalogue, Operation
from kafka_facade.core.core import Core
from kafka_facade.core.errors import KafkaTimeout, NotImplementedYet, PayloadTooLarge, Unavailable
from kafka_facade.core.paging import Page, paginate
from kafka_facade.core.registry import Implementation
from kafka_facade.core.time_slices import in_slices, time_slice
from kafka_facade.rpc.convert import reader, writer
from kafka_facade.rpc.cut_off import close_connection, shut_down, taking
from kafka_facade.rpc.errors import reporting, writing
from kafka_facade.rpc.frames import Encoded, size_of
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.receiving import require_message
from kafka_facade.rpc.sort_keys import sort_key

FACE = "grpc"
CALLER = Caller(FACE)

# Overhead in bytes of a page besides its items (mostly the page token), and of each item.
_PAGE_OVERHEAD = 4096
_ITEM_OVERHEAD = 6

# A response written less than this (s) before the caller's deadline may arrive too late.
_ARRIVAL_SECONDS = 0.05

# Responses up to this size (bytes) go out in one piece with the initial metadata: a connection takes them at once.
_AT_ONCE_BYTES = 16 * 1024

# What a list takes, as a multiple of its bytes: as a message, encoded, and in the library.
_LIST_COPIES = 3

# Whose turn it is to have a list encoded, for each connection.
_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

Context = grpc.aio.ServicerContext[Any, Any]
Serve = Callable[[Any, Context], Awaitable[Message | None]]


def operation_of(catalogue: Catalogue, implemented: Container[str], service: str, method: str) -> Operation:
    """Return the catalogue's operation for a gRPC method: of several the v3 one, or else an implemented one.

    ``service`` is the name without the package. Raises LookupError if there is none.
    """
    found = [row for row in catalogue.all if (row.grpc_service, row.grpc_method) == (service, method)]
    if not found:
        raise LookupError(f"the catalogue has no {service}/{method}")
    return min(found, key=lambda row: (not row.path.startswith("/v3/"), row.identifier not in implemented))


def caller_of(context: Context) -> Caller:
    """Return the caller of a method, with its remaining time."""
    return Caller(FACE, context.time_remaining())


@dataclass(frozen=True, slots=True)
class Types:
    """The message types of a method."""

    request: type[Message]
    response: type[Message]


def regular(core: Core, operation: Operation, types: Types, options: RpcOptions) -> Serve:
    """Return the handler of a method whose messages have the same fields as the core's request and answer.

    That of a list writes its only message, see :class:`Written`: it is large, and holds memory until it is taken.
    """
    implementation = core.registry.implementation(operation.identifier)
    if is_list(core, operation, types):
        return _listing(core, operation, types, options, implementation)
    read = reader(implementation.request, types.request)
    encode = _nothing if types.response is Empty else writer(types.response)

    async def run(call: Call, message: Message) -> Message:
        return encode(await core.perform(call, read(message)))

    return _unary(core, operation, run, options)


def is_list(core: Core, operation: Operation, types: Types) -> bool:
    """Return whether a method whose messages have the fields of the core's returns a list."""
    if types.response is Empty or operation.identifier not in core.registry:
        return False
    return get_origin(core.registry.implementation(operation.identifier).answer) in (list, Sequence)


def following(
    core: Core, operation: Operation, types: Types, options: RpcOptions
) -> Callable[[Any, Context], Awaitable[None]]:
    """Return the handler of a method that streams answers, each of which replaces the one before.

    The request of the core has the name of the method. The next answer is made when the client has taken the last one.
    """
    name = types.request.DESCRIPTOR.name.removesuffix("Request")
    read = reader(core.registry.named(operation.identifier, name).request, types.request)
    encode = writer(types.response)

    async def serve(message: Any, context: Context) -> None:
        async with reporting(context, message):
            # gRPC enforces the caller's deadline for the whole stream; the call's deadline bounds only the start.
            with core.admitted(operation.identifier, caller_of(context)) as call:
                require_message(message)
                async with aclosing(core.stream(call, read(message))) as answers:
                    async for answer in answers:
                        await write_message(context, encode(answer), options)

    return serve


def _listing(
    core: Core, operation: Operation, types: Types, options: RpcOptions, implementation: Implementation
) -> Serve:
    """Return the handler of a method that writes a list: one page, or all items if the method has no pagination.

    A page ends early if the response would become too large. Without pagination that raises PayloadTooLarge, unless the
    response has ``total_size``: such a method has already changed something, so as many items as fit are returned with
    the total number.
    """
    read = reader(implementation.request, types.request)
    items = types.response.DESCRIPTOR.fields_by_number[1]
    encode = _item_encoder(types.response)
    paged = "page_token" in types.request.DESCRIPTOR.fields_by_name
    counted = "total_size" in types.response.DESCRIPTOR.fields_by_name
    [item] = get_args(implementation.answer)
    key = sort_key(operation, core.kinds.get(item))
    outgoing = core.pipeline.overload.outgoing

    async def run(call: Call, message: Any, turn: asyncio.Lock) -> Message:
        found = await core.perform(call, read(message))
        # Those of one connection take turns, so that many at once delay others no more than one.
        async with turn:
            await time_slice()
            return await answer(found, message)

    async def answer(found: Sequence[Any], message: Any) -> Message:
        room = options.max_response_bytes - _PAGE_OVERHEAD
        if not paged:
            entries = await in_slices(encode, found)
            fitting = _fitting(entries, room)
            if counted:
                return types.response(**{items.name: entries[:fitting], "total_size": len(entries)})
            if fitting < len(entries):
                raise PayloadTooLarge(f"The answer has too many entries for {options.max_response_bytes} bytes.")
            return types.response(**{items.name: entries})
        encoded: list[Any] = []

        def fits(item: Any) -> bool:
            nonlocal room
            entry = encode(item)
            room -= _size(entry)
            # A single oversized item still gets a page of its own.
            if room < 0 and encoded:
                return False
            encoded.append(entry)
            return True

        page = _page(found, key, message, fits)
        return types.response(**{items.name: encoded, "next_page_token": page.next_token, "total_size": page.total})

    async def serve(message: Any, context: Context) -> None:
        async with reporting(context, message), taking(context):
            with core.admitted(operation.identifier, caller_of(context)) as call:
                require_message(message)
                turn = _turns.setdefault(context.peer(), asyncio.Lock())
                made = await run(call, message, turn)
            # A change is done, so that a caller must not try it again.
            async with outgoing.hold(made.ByteSize(), copies=_LIST_COPIES, anyway=counted and not paged):
                await write_message(context, made, options)

    return serve


@dataclass(frozen=True, slots=True)
class Custom:
    """A method with its own conversion of messages."""

    run: Callable[[Core, Call, Any, RpcOptions], Awaitable[Message]]

    def serve(self, core: Core, operation: Operation, options: RpcOptions) -> Serve:
        """Return the handler of the method."""

        async def run(call: Call, message: Any) -> Message:
            return await self.run(core, call, message, options)

        return _unary(core, operation, run, options)


@dataclass(frozen=True, slots=True)
class Written:
    """A method that writes its single response itself, so that it knows whether the caller received it.

    ``identify`` chooses the operation if several share the method.

    It is served as a stream of one message, which is the same on the wire. A client accepts the message only if the
    status that follows is OK.
    """

    run: Callable[[Core, Call, Any, RpcOptions, Callable[[Encoded], Awaitable[None]]], Awaitable[None]]
    identify: Callable[[Core, Any, Context], Awaitable[str]]

    def serve(self, core: Core, options: RpcOptions) -> Callable[[Any, Context], Awaitable[None]]:
        """The handler of the method."""

        async def serve(message: Any, context: Context) -> None:
            seconds = context.time_remaining()
            margin = 0.0 if seconds is None else min(_ARRIVAL_SECONDS, seconds / 10)

            async def write(answer: Encoded) -> None:
                if size_of(answer) > _AT_ONCE_BYTES:
                    await write_message(context, answer, options)
                else:
                    await _to_the_end(write_message(context, answer, options))
                left = context.time_remaining()
                if size_of(answer) and left is not None and left < margin:
                    raise KafkaTimeout

            async with reporting(context, message), taking(context):
                require_message(message)
                identifier = await self.identify(core, message, context)
                with core.admitted(identifier, caller_of(context)) as call:
                    await self.run(core, call, message, options, write)

        return serve


async def _to_the_end(sending: Coroutine[Any, Any, None]) -> None:
    """Await what sends the initial metadata, also when cancelled: gRPC could not send a status afterwards."""
    task = asyncio.create_task(sending, name="initial metadata")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


async def write_message(context: Context, message: Encoded, options: RpcOptions) -> None:
    """Write a message to a stream.

    Raises Unavailable if the client reads nothing for ``write_seconds``, and CallerGoneError. If no status can be sent
    then, because the connection takes nothing at all, it is closed.
    """
    try:
        if size_of(message) > _AT_ONCE_BYTES:
            await _begin(context)
        async with asyncio.timeout(options.write_seconds):
            with writing():
                await context.write(message)
    except TimeoutError:
        if await _is_beginning(context):
            await asyncio.to_thread(shut_down, context.peer())
            raise asyncio.CancelledError from None
        limit = f"{options.write_seconds:g} s (response.write.timeout.ms)"
        raise Unavailable(f"The client read nothing for {limit}.") from None


async def _begin(context: Context) -> None:
    """Send the initial metadata, unless that is done: gRPC sends no status while a message with them waits."""
    with writing(), suppress(grpc.aio.UsageError):
        await _to_the_end(context.send_initial_metadata(()))


async def _is_beginning(context: Context) -> bool:
    """Return whether the message that was to be written is the first one, with the initial metadata."""
    try:
        await context.send_initial_metadata(())
    except grpc.aio.UsageError:
        return False
    except grpc.aio.BaseError:
        return True
    return False


def unimplemented(core: Core, operation: Operation, options: RpcOptions) -> Serve:
    """Return the handler of a method that the core does not implement."""

    async def run(call: Call, message: Message) -> Message:
        raise NotImplementedYet(operation=operation.identifier)

    return _unary(core, operation, run, options)


def _unary(
    core: Core,
    operation: Operation,
    run: Callable[[Call, Any], Awaitable[Message]],
    options: RpcOptions,
) -> Serve:
    async def serve(message: Any, context: Context) -> Message:
        async with reporting(context, message):
            with core.admitted(operation.identifier, caller_of(context)) as call:
                require_message(message)
                answer = await run(call, message)
            # To write it here would take another step of gRPC for each call.
            core.pipeline.deadlines.watch(options.write_seconds, lambda: close_connection(context))
            return answer
        raise AssertionError("a failed call has been aborted")

    return serve


def _page(
    found: Sequence[Any], key: Callable[[Any], Any] | None, message: Any, fits: Callable[[Any], bool]
) -> Page[Any]:
    size, token = message.page_size, message.page_token
    if key is not None:
        return paginate(found, key, size=size, token=token, fits=fits)
    places = range(len(found))
    return paginate(places, lambda place: place, size=size, token=token, fits=lambda place: fits(found[place]))


def _fitting(entries: Sequence[Message | str], room: int) -> int:
    """Return how many of the first entries fit into ``room`` bytes."""
    for number, entry in enumerate(entries):
        room -= _size(entry)
        if room < 0:
            return number
    return len(entries)


def _size(entry: Message | str) -> int:
    return _ITEM_OVERHEAD + (entry.ByteSize() if isinstance(entry, Message) else len(entry.encode()))


def _item_encoder(response: type[Message]) -> Callable[[Any], Any]:
    items: Any = response.DESCRIPTOR.fields_by_number[1]
    return writer(GetMessageClass(items.message_type)) if items.message_type is not None else lambda item: item


def _nothing(_: Any) -> Any:
    return Empty()
