"""The Protobuf codec: converts messages of dynamic descriptors in Protobuf's JSON mapping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, EncodeError, Message
from google.protobuf.message_factory import GetMessageClass

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.quoting import quote
from kafka_facade.core.records.decoding_budget import VALUE_WEIGHT, DecodingBudget
from kafka_facade.core.records.model import Format
from kafka_facade.schemas.protobuf_json import StrictValues, ValueMismatch
from kafka_facade.schemas.protobuf_parser import in_json_terms
from kafka_facade.schemas.protobuf_text import may_have_invalid_text, mend
from kafka_facade.schemas.protobuf_weight import Weights

# Short form of the indexes of the first message in a file.
_FIRST_MESSAGE: Final = b"\0"
_MAX_INDEXES: Final = 100
# Building descriptors cannot be interrupted; this many take about 20 ms.
_MAX_PARTS: Final = 20_000
_MAX_NAMES: Final = 8 * 1024 * 1024
# Memory (bytes) of a part with its generated class, of a character of the names, and of a byte of the other content.
_PART_MEMORY: Final = 1600
_NAME_MEMORY: Final = 4
_BYTE_MEMORY: Final = 12
# Decoding budget: a base, and an amount per payload byte. The JSON mapping writes all fields of a message.
_FREE: Final = 4 * 1024 * 1024
_PER_BYTE: Final = 1000
# Maximum weight to decode on the event loop.
_ON_LOOP: Final = 768 * 1024
# Maximum memory (bytes) of messages to create on the event loop, assuming one message for each byte of data.
_MEMORY_ON_LOOP: Final = 32 * 1024 * 1024
# Maximum memory (bytes) of messages that are created from JSON.
_MOST_MEMORY: Final = 256 * 1024 * 1024


class ProtobufCodec:
    """Converts between JSON and messages. Encodes with the first message type of the file."""

    format = Format.PROTOBUF

    def __init__(self, files: Sequence[FileDescriptorProto]) -> None:
        """A file comes before those that import it; the last is the schema. Raises ValueError for invalid schemas."""
        self._weights = Weights(files)
        if self._weights.parts > _MAX_PARTS:
            raise ValueError(f"the schema has more than {_MAX_PARTS} messages, fields, enums, symbols and methods")
        if self._weights.names > _MAX_NAMES:
            raise ValueError("the names of messages, fields, enums, symbols and methods in the schema are too long")
        size = sum(file.ByteSize() for file in files)
        self.memory = self._weights.parts * _PART_MEMORY + self._weights.names * _NAME_MEMORY + size * _BYTE_MEMORY
        self.most_data_on_loop = min(50_000, _MEMORY_ON_LOOP // self._weights.layout)
        self.most_on_loop = max(-1, (_ON_LOOP - self._weights.message) // self._weights.per_byte)
        self._pool = DescriptorPool()
        schema = files[-1]
        if not schema.message_type:
            raise ValueError("the schema has no message")
        try:
            for file in files:
                self._pool.Add(file)
            first = self._pool.FindMessageTypeByName(_qualified(schema.package, schema.message_type[0].name))
        except (TypeError, KeyError) as error:
            raise ValueError(quote(error)) from None
        self._values = StrictValues(self._pool)
        # In proto3, upb rejects strings that are not UTF-8.
        self._checks_text = all(file.syntax == "proto3" for file in files)
        self._schema = schema
        self._descriptors: dict[tuple[int, ...], Descriptor] = {(0,): first}
        self._first: type[Message] = GetMessageClass(first)
        self.record_name: str | None = first.full_name

    def encode(self, data: object, *, on_loop: bool = False) -> bytes:
        """Return the indexes of the message type, and the message. Raises InvalidRequest if the data does not match."""
        self._check_memory(data)
        name = quote(self.record_name)
        try:
            message = self._first()
            self._values.check(data, self._descriptors[(0,)])
            json_format.ParseDict(data, message, descriptor_pool=self._pool)  # type: ignore[arg-type]
            return _FIRST_MESSAGE + message.SerializeToString()
        except (json_format.ParseError, EncodeError) as error:
            raise InvalidRequest(f"Bad Request: {quote(in_json_terms(error))}") from None
        except ValueMismatch as error:
            raise InvalidRequest(f"Bad Request: the data doesn't match the message {name}: {error}") from None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            # Their texts are in terms of Python.
            raise InvalidRequest(f"Bad Request: the data doesn't match the message {name}") from None

    def budget(self, size: int) -> DecodingBudget:
        """See the port."""
        return DecodingBudget(size, free=_FREE, per_byte=_PER_BYTE)

    def decode(self, payload: bytes, budget: DecodingBudget | None = None) -> object:
        """Return the JSON mapping of a message with all fields without presence. Raises ValueError for invalid
        messages."""
        indexes, start = _read_indexes(payload)
        descriptor, content = self._find(indexes), payload[start:]
        self._weights.spend(descriptor, content, budget or self.budget(len(payload)))
        try:
            if self._checks_text or content.isascii():
                return self._mapping(descriptor, content)
            try:
                mapped = self._mapping(descriptor, content)
            except json_format.SerializeToJsonError:
                # Entries of a map whose key is not UTF-8 cannot be read.
                return self._mapping(descriptor, mend(descriptor, content))
            return self._mapping(descriptor, mend(descriptor, content)) if may_have_invalid_text(mapped) else mapped
        except (DecodeError, json_format.Error, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"the message doesn't match the schema: {quote(error)}") from None

    def _mapping(self, descriptor: Descriptor, content: bytes) -> object:
        message = GetMessageClass(descriptor).FromString(content)
        return json_format.MessageToDict(message, always_print_fields_with_no_presence=True, descriptor_pool=self._pool)

    def _check_memory(self, data: object) -> None:
        """Raise InvalidRequest if the messages would take too much memory: each allocates all its fields."""
        memory = 0
        waiting = [data]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                memory += self._weights.layout
                waiting += value.values()
            elif isinstance(value, list):
                memory += VALUE_WEIGHT * len(value)
                waiting += value
            if memory > _MOST_MEMORY:
                raise InvalidRequest("Bad Request: the data is too large for its schema")

    def _find(self, indexes: tuple[int, ...]) -> Descriptor:
        """Return the message type at the indexes, which lead from the file through nested messages."""
        if indexes not in self._descriptors:
            messages: Sequence[DescriptorProto] = self._schema.message_type
            names = []
            for index in indexes:
                if not 0 <= index < len(messages):
                    raise ValueError("the schema has no message with these indexes")
                names.append(messages[index].name)
                # Map entry types are generated, not written in the schema, and are not counted.
                messages = [nested for nested in messages[index].nested_type if not nested.options.map_entry]
            self._descriptors[indexes] = self._pool.FindMessageTypeByName(
                _qualified(self._schema.package, ".".join(names))
            )
        return self._descriptors[indexes]


def _qualified(package: str, name: str) -> str:
    return f"{package}.{name}" if package else name


def _read_indexes(payload: bytes) -> tuple[tuple[int, ...], int]:
    """Return the indexes at the head of a payload (their number, then each, as zigzag varints), and their end."""
    if payload[:1] == _FIRST_MESSAGE:
        return (0,), 1
    count, position = _read_varint(payload, 0)
    if not 0 < count <= _MAX_INDEXES:
        raise ValueError("the indexes of the message are malformed")
    found = []
    for _ in range(count):
        index, position = _read_varint(payload, position)
        found.append(index)
    return tuple(found), position


def _read_varint(payload: bytes, position: int) -> tuple[int, int]:
    shift = result = 0
    while True:
        if position >= len(payload) or shift > 28:
            raise ValueError("the indexes of the message are malformed")
        byte = payload[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (result >> 1) ^ -(result & 1), position
        shift += 7
