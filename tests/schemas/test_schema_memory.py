"""The memory of compiled schemas: what each counts as, and what the registry keeps of many.

Each measurement runs in a process of its own: `test_schema_memory.py SHAPE` prints the growth of its memory (bytes) and
what its schemas say that they take.
"""

import asyncio
import gc
import json
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from kafka_facade.core.errors import InvalidSchema
from kafka_facade.core.records.model import Format
from kafka_facade.schemas.avro import AvroCodec
from kafka_facade.schemas.compiler import CompiledSchema
from kafka_facade.schemas.json_schema import JsonSchemaCodec
from kafka_facade.schemas.json_schema_checkers import Checkers
from kafka_facade.schemas.protobuf import ProtobufCodec
from kafka_facade.schemas.registry import SchemaRegistry

MIB = 1024 * 1024
COPIES = 20
# What is measured has pages of its own.
_ALLOWANCE = 2 * MIB

Make = Callable[[int], CompiledSchema]


def _grouped(count: int, schema: Callable[[int], Any]) -> dict[str, Any]:
    """So many schemas, of which few are for one value."""
    groups = [
        {"properties": {f"p{n}": schema(n) for n in range(first, min(count, first + 100))}}
        for first in range(0, count, 100)
    ]
    return {"properties": {f"g{n}": group for n, group in enumerate(groups)}}


def _properties(number: int, pattern: str, count: int) -> dict[str, Any]:
    return _grouped(count, lambda n: {"pattern": pattern % (number * 2000 + n)})


def _json(schema: Callable[[int], Any], *values: Any) -> Make:
    checkers = Checkers()

    def make(number: int) -> CompiledSchema:
        found = JsonSchemaCodec(json.dumps(schema(number)), [], checkers)
        assert found.most_data_on_loop >= 0
        for value in values:
            found.encode(value)
        return found

    return make


def _avro(schema: Callable[[int], Any]) -> Make:
    return lambda number: AvroCodec(json.dumps(schema(number)))


def _protobuf(file: Callable[[], FileDescriptorProto], data: dict[str, Any]) -> Make:
    def make(number: int) -> CompiledSchema:
        modules = (descriptor_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
        imported = [FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb) for module in modules]
        found = ProtobufCodec([*imported, file()])
        found.decode(found.encode(data))
        return found

    return make


def _messages() -> FileDescriptorProto:
    file = FileDescriptorProto(name="default.proto", syntax="proto3")
    first = file.message_type.add(name="First")
    for n in range(500):
        file.message_type.add(name=f"M{n}")
        field = {"type": FieldDescriptorProto.TYPE_MESSAGE, "label": FieldDescriptorProto.LABEL_OPTIONAL}
        first.field.add(name=f"f{n}", number=n + 1, type_name=f".M{n}", json_name=f"f{n}", **field)
    return file


def _small() -> FileDescriptorProto:
    file = FileDescriptorProto(name="default.proto", syntax="proto3")
    file.message_type.add(name="First")
    return file


SHAPES: dict[str, Make] = {
    "patterns": _json(lambda number: _properties(number, r"\d{3}%x", 50)),
    "patterns with groups": _json(lambda number: _properties(number, r"^(%d)([^\s]{4})([^a]{4})$", 15)),
    "texts": _json(lambda number: _properties(number, "^a%d$", 400)),
    # What it is matched with takes it through many states.
    "matched": _json(
        lambda number: {"items": {"not": {"pattern": f"x[a-z]{{30}}y{number}"}}},
        *(["".join(random.Random(seed).choices("xxab", k=5000))] for seed in range(6)),
    ),
    "keywords": _json(lambda number: {**_grouped(1500, lambda n: {"type": "string"}), "title": str(number)}),
    "enums": _json(lambda number: _grouped(800, lambda n: {"enum": [1, "a", number]})),
    "symbols": _avro(lambda number: {"type": "enum", "name": f"E{number}", "symbols": [f"a{n}" for n in range(5000)]}),
    "unions": _avro(
        lambda number: {
            "type": "record",
            "name": f"R{number}",
            "fields": [{"name": f"a{n}", "type": ["null", "int"], "default": None} for n in range(500)],
        }
    ),
    "names": _avro(
        lambda number: {
            "type": "record",
            "name": f"R{number}",
            "namespace": "n" * 300,
            "fields": [{"name": f"a{n}", "type": {"type": "fixed", "name": f"F{n}", "size": 1}} for n in range(500)],
        }
    ),
    "defaults": _avro(
        lambda number: {
            "type": "record",
            "name": f"R{number}",
            "fields": [{"name": "a", "type": {"type": "array", "items": "null"}, "default": [[]] * 15_000}],
        }
    ),
    "imports": _protobuf(_small, {}),
    "messages": _protobuf(_messages, {f"f{n}": {} for n in range(500)}),
}


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _grown_by_copies(shape: str) -> tuple[int, int]:
    make = SHAPES[shape]
    make(0)
    gc.collect()
    before = _memory()
    kept = [make(number) for number in range(1, COPIES + 1)]
    gc.collect()
    return _memory() - before, sum(codec.memory for codec in kept)


async def _grown_by_registry() -> tuple[int, int]:
    registry = SchemaRegistry("http://127.0.0.1:9", {})
    texts = [json.dumps(_properties(number, r"\d{3}%x", 50)) for number in range(400)]
    await registry.parse(Format.JSONSCHEMA, "{}", 60)
    before = _memory()
    for text in texts:
        await registry.parse(Format.JSONSCHEMA, text, 60)
    # These are compiled elsewhere: they would take 20 MiB each.
    for number in range(10):
        text = json.dumps(_properties(number, r"\d{3}%x", 1500))
        await registry.parse(Format.JSONSCHEMA, text, 60)
    grown = _memory() - before
    await registry.close()
    return grown, 0


def _measured(shape: str) -> tuple[int, int]:
    found = subprocess.run([sys.executable, __file__, shape], capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, found.stderr
    grown, counted = map(int, found.stdout.split())
    return grown, counted


@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimated_memory_covers_the_actual_memory(shape: str) -> None:
    grown, counted = _measured(shape)
    assert grown - _ALLOWANCE < counted


def test_many_schemas_with_patterns_stay_within_the_cache_limit() -> None:
    grown, _ = _measured("registry")
    assert grown < 64 * MIB


@pytest.mark.parametrize(
    "schema",
    [
        '{"type":"record","name":"R%d","fields":[{"name":"a","type":"null","default":[%s]}]}',
        '{"type":"record","name":"R%d","fields":[1],"doc":[%s]}',
        '{"type":"record","name":"R%d","fields":[%s]}',
    ],
)
async def test_the_content_of_a_rejected_schema_is_freed_at_once(schema: str) -> None:
    """Not by a collection of cycles, nor once the failure is no longer cached."""
    registry = SchemaRegistry("http://127.0.0.1:9", {})
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for number in range(3):
            with suppress(InvalidSchema):
                await registry.parse(Format.AVRO, schema % (number, ",".join(["[]"] * 15_000)), 60)
        assert len(gc.get_objects()) - before < 5_000
    finally:
        gc.enable()
        await registry.close()


if __name__ == "__main__":
    shown = asyncio.run(_grown_by_registry()) if sys.argv[1] == "registry" else _grown_by_copies(sys.argv[1])
    sys.stdout.write("{} {}".format(*shown))
