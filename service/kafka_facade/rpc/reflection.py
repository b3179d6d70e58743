"""Server reflection v1 and v1alpha; the library's servicer lacks v1 and lookups of methods and fields."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from kafka_facade.rpc.errors import reporting
from kafka_facade.rpc.receiving import Receiver

_ALPHA = reflection.SERVICE_NAME
_V1 = "grpc.reflection.v1.ServerReflection"
_METHOD = "ServerReflectionInfo"


class _Servicer(aio.ReflectionServicer):  # type: ignore[misc]
    """Also finds methods, fields and oneofs, by looking up the service or message that contains them."""

    def __init__(self, services: Sequence[str], pool: Any, receiver: Receiver) -> None:
        super().__init__(services, pool)
        self._receiver = receiver

    async def ServerReflectionInfo(self, request_iterator: AsyncIterable[Any], context: Any) -> AsyncIterator[Any]:
        async def requests() -> AsyncIterator[Any]:
            first = True
            while True:
                async with reporting(context):
                    request = await self._receiver.next(reflection_pb2.ServerReflectionRequest, context, first=first)
                if request is grpc.aio.EOF:
                    return
                first = False
                yield request

        async for answer in super().ServerReflectionInfo(requests(), context):
            yield answer

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:
        outer, _, name = fully_qualified_name.rpartition(".")
        if _has(self._pool, outer, name):
            fully_qualified_name = outer
        return super()._file_containing_symbol(request, fully_qualified_name)


def _has(pool: Any, outer: str, name: str) -> bool:
    try:
        return name in pool.FindServiceByName(outer).methods_by_name
    except KeyError:
        pass
    try:
        message = pool.FindMessageTypeByName(outer)
    except KeyError:
        return False
    return name in message.fields_by_name or name in message.oneofs_by_name


def handlers(services: Sequence[ServiceDescriptor], receiver: Receiver) -> list[grpc.GenericRpcHandler]:
    """Return the handlers of both versions, which also list themselves."""
    alpha: Any = reflection_pb2.DESCRIPTOR
    pool = _pool([service.file for service in services] + [alpha])
    pool.AddSerializedFile(_v1(alpha))
    servicer = _Servicer([*(service.full_name for service in services), _ALPHA, _V1], pool, receiver)
    # The messages of both versions differ only in the package name.
    method: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        None,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return [grpc.method_handlers_generic_handler(service, {_METHOD: method}) for service in (_ALPHA, _V1)]


def _pool(files: Iterable[FileDescriptor]) -> Any:
    """Return a descriptor pool with these files and all that they import."""
    pool: Any = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for imported in file.dependencies:
            add(imported)
        pool.AddSerializedFile(file.serialized_pb)

    for file in files:
        add(file)
    return pool


def _v1(alpha: Any) -> bytes:
    """Return the descriptor of v1, so that clients can look up the reflection service itself."""
    found = descriptor_pb2.FileDescriptorProto()
    alpha.CopyToProto(found)
    text = text_format.MessageToString(found).replace("v1alpha", "v1")
    return text_format.Parse(text, descriptor_pb2.FileDescriptorProto()).SerializeToString()
