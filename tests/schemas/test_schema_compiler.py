"""A format that compiles slowly does not delay others."""

import asyncio

from kafka_facade.core.records.model import Format
from kafka_facade.schemas.registry import SchemaRegistry


async def test_a_slow_format_does_not_delay_another() -> None:
    """Each Protobuf schema takes a process of its own, and many are asked for at once."""
    registry = SchemaRegistry("http://127.0.0.1:9", {})
    try:
        texts = [f'syntax = "proto3"; message M{n} {{ string a = 1; }}' for n in range(40)]
        slow = [asyncio.create_task(registry.parse(Format.PROTOBUF, text, 120)) for text in texts]
        await asyncio.sleep(0)
        others = [
            *(registry.parse(Format.AVRO, f'{{"type":"fixed","name":"F","size":{n}}}', 60) for n in range(40)),
            *(registry.parse(Format.JSONSCHEMA, f'{{"maximum":{n}}}', 60) for n in range(40)),
        ]
        await asyncio.gather(*others)
        assert sum(task.done() for task in slow) < 30
        assert {codec.record_name for codec in await asyncio.gather(*slow)} == {f"M{n}" for n in range(40)}
    finally:
        await registry.close()


async def test_the_same_schema_is_compiled_once() -> None:
    registry = SchemaRegistry("http://127.0.0.1:9", {})
    try:
        text = 'syntax = "proto3"; message A { string a = 1; }'
        found = await asyncio.gather(*(registry.parse(Format.PROTOBUF, text, 60) for _ in range(60)))
        # Some may begin before the first is known.
        assert len({id(codec) for codec in found}) <= 8
    finally:
        await registry.close()
