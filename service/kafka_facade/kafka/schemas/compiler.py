"""Schemas become codecs, away from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from kafka_facade.core.ports import SchemaCodec
from kafka_facade.core.resources import Format
from kafka_facade.kafka.schemas.avro import AvroCodec
from kafka_facade.kafka.schemas.json_schema import JsonSchemaCodec
from kafka_facade.kafka.schemas.protobuf import ProtobufCodec
from kafka_facade.kafka.schemas.protoc import compile_files

_THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class Source:
    """A schema that another one refers to by this name."""

    name: str
    text: str


class Compiler:
    """Compiles schemas, a few at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="schema-compiler")
        self._processes = asyncio.Semaphore(_THREADS)

    def close(self) -> None:
        """Compile no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def compile(self, format: Format, text: str, references: Sequence[Source]) -> SchemaCodec:
        """The codec of a schema; ``references`` come before those that refer to them. ValueError for what is none."""
        run = asyncio.get_running_loop().run_in_executor
        match format:
            case Format.AVRO:
                return await run(self._pool, AvroCodec, text, [source.text for source in references])
            case Format.JSONSCHEMA:
                return await run(self._pool, JsonSchemaCodec, text, references)
            case Format.PROTOBUF:
                async with self._processes:
                    files = await compile_files(text, references)
                return await run(self._pool, ProtobufCodec, files)
        raise ValueError(f"{format.value} has no schemas")
