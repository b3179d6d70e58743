"""The services of the protos, and the handlers that serve their methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from kafka_facade.core.core import Core
from kafka_facade.rpc.dispatch import (
    Custom,
    Types,
    Written,
    following,
    is_list,
    operation_of,
    regular,
    unimplemented,
)
from kafka_facade.rpc.frames import encode
from kafka_facade.rpc.gen.files import FILES
from kafka_facade.rpc.methods import METHODS, STREAMS
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.produce_stream import produce_stream
from kafka_facade.rpc.receiving import Receiver

SERVICES: tuple[ServiceDescriptor, ...] = tuple(service for file in FILES for service in file.services_by_name.values())


def handlers(
    core: Core, options: RpcOptions, receiver: Receiver, services: Iterable[ServiceDescriptor]
) -> list[grpc.GenericRpcHandler]:
    """Return the handlers of services. Raises LookupError for a method that the catalogue lacks."""
    return [
        grpc.method_handlers_generic_handler(
            service.full_name, {method.name: _handler(core, options, receiver, method) for method in service.methods}
        )
        for service in services
    ]


def _handler(
    core: Core, options: RpcOptions, receiver: Receiver, method: MethodDescriptor
) -> grpc.RpcMethodHandler[Any, Any]:
    service = method.containing_service.name
    operation = operation_of(core.catalogue, core.registry, service, method.name)
    types = Types(GetMessageClass(method.input_type), GetMessageClass(method.output_type))
    if method.client_streaming:
        serve_stream = produce_stream(core, operation, options)
        return grpc.stream_stream_rpc_method_handler(serve_stream, None, encode)
    if method.server_streaming:
        streaming = STREAMS.get(f"{service}/{method.name}")
        serve_answers = streaming(core, operation, options) if streaming else following(core, operation, types, options)
        return receiver.stream(types.request, serve_answers, encode)
    binding = METHODS.get(f"{service}/{method.name}")
    if isinstance(binding, Written):
        return receiver.stream(types.request, binding.serve(core, options), encode)
    if isinstance(binding, Custom):
        serve = binding.serve(core, operation, options)
    elif is_list(core, operation, types):
        return receiver.stream(types.request, regular(core, operation, types, options), encode, lasts=False)
    elif operation.identifier in core.registry:
        serve = regular(core, operation, types, options)
    else:
        serve = unimplemented(core, operation, options)
    return receiver.unary(types.request, serve, encode)
