"""Schemas become codecs, away from the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kafka_facade.core.ports import SchemaCodec
from kafka_facade.core.resources import Format
from kafka_facade.core.worker_threads import WorkerThreads
from kafka_facade.kafka.schemas.avro import AvroCodec
from kafka_facade.kafka.schemas.json_schema import JsonSchemaCodec
from kafka_facade.kafka.schemas.protobuf import ProtobufCodec
from kafka_facade.kafka.schemas.protoc import compile_files

# Of each format.
_THREADS: Final = 2
# A schema that takes longer (s) is refused; protoc has the same limit.
_COMPILE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Source:
    """A schema that another one refers to by this name."""

    name: str
    text: str


_Compile = Callable[[str, Sequence[Source]], SchemaCodec]

_COMPILERS: Final[Mapping[Format, _Compile]] = {
    Format.AVRO: lambda text, references: AvroCodec(text, [source.text for source in references]),
    Format.JSONSCHEMA: JsonSchemaCodec,
    Format.PROTOBUF: lambda text, references: ProtobufCodec(compile_files(text, references)),
}


class Compiler:
    """Compiles schemas, a few of each format at a time: one that takes long does not hold up other formats."""

    def __init__(self) -> None:
        self._threads = {format: WorkerThreads(f"compiler-{format.value.lower()}", _THREADS) for format in _COMPILERS}

    def close(self) -> None:
        """Compile no more."""
        for threads in self._threads.values():
            threads.close()

    async def compile(
        self,
        format: Format,
        text: str,
        references: Sequence[Source],
        known: Callable[[], SchemaCodec | None],
        wait: float,
    ) -> SchemaCodec:
        """The codec of a schema; ``references`` come before those that refer to them.

        ``known`` gives the codec that others may have compiled while this waited. ValueError for what is no schema, or
        takes too long; NoFreeThread after ``wait`` seconds.
        """
        compiler = _COMPILERS[format]
        try:
            return await self._threads[format].run(
                lambda: compiler(text, references), wait=wait, limit=_COMPILE_SECONDS + 1, known=known
            )
        except TimeoutError:
            raise ValueError("the schema cannot be compiled in time") from None
