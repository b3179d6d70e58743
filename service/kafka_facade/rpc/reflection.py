"""Server reflection v1 and v1alpha; the library's servicer lacks v1 and lookups of methods and fields."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from kafka_facade.rpc.dispatch import decoder, require_message
from kafka_facade.rpc.errors import reporting

_ALPHA = reflection.SERVICE_NAME
_V1 = "grpc.reflection.v1.ServerReflection"
_METHOD = "ServerReflectionInfo"


class _Servicer(aio.ReflectionServicer):  # type: ignore[misc]
    """Also finds methods, fields and oneofs, by looking up the service or message that contains them."""

    async def ServerReflectionInfo(self, request_iterator: AsyncIterable[Any], context: Any) -> AsyncIterator[Any]:
        async def decoded() -> AsyncIterator[Any]:
            async for request in request_iterator:
                async with reporting(context):
                    require_message(request)
                yield request

        async for answer in super().ServerReflectionInfo(decoded(), context):
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


def handlers(service_names: Iterable[str]) -> list[grpc.GenericRpcHandler]:
    """Return the handlers of both versions; both also list themselves."""
    _describe_v1()
    servicer = _Servicer([*service_names, _ALPHA, _V1])
    # The messages of both versions differ only in the package name.
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        decoder(reflection_pb2.ServerReflectionRequest),
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return [grpc.method_handlers_generic_handler(service, {_METHOD: method}) for service in (_ALPHA, _V1)]


def _describe_v1() -> None:
    """Add v1 to the descriptor pool, so that clients can look up the reflection service itself."""
    pool: Any = descriptor_pool.Default()
    try:
        pool.FindServiceByName(_V1)
    except KeyError:
        alpha = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
        text = text_format.MessageToString(alpha).replace("v1alpha", "v1")
        pool.AddSerializedFile(text_format.Parse(text, descriptor_pb2.FileDescriptorProto()).SerializeToString())
