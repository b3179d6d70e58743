"""Schemas become codecs, away from the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.quoting import quote
from kafka_facade.core.records.model import Format
from kafka_facade.core.records.port import SchemaCodec
from kafka_facade.core.worker_threads import WorkerThreads
from kafka_facade.schemas.avro import AvroCodec
from kafka_facade.schemas.json_schema import JsonSchemaCodec
from kafka_facade.schemas.json_schema_checkers import Checkers
from kafka_facade.schemas.protobuf import ProtobufCodec
from kafka_facade.schemas.protoc import compile_files

# Of each format.
_THREADS: Final = 2
# How long (s) is waited for a schema on a busy machine; what it may take of the processor is bounded for each format.
_COMPILE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Source:
    """A schema that another one refers to by this name."""

    name: str
    text: str


class CompiledSchema(SchemaCodec, Protocol):
    """A codec that says what it takes."""

    @property
    def memory(self) -> int:
        """The most bytes of memory that it takes, once it has been used."""


_Compile = Callable[[str, Sequence[Source], Checkers], CompiledSchema]

_COMPILERS: Final[Mapping[Format, _Compile]] = {
    Format.AVRO: lambda text, references, _: AvroCodec(text, [source.text for source in references]),
    Format.JSONSCHEMA: JsonSchemaCodec,
    Format.PROTOBUF: lambda text, references, _: ProtobufCodec(compile_files(text, references)),
}


class Compiler:
    """Compiles schemas, a few of each format at a time: one that takes long does not hold up other formats."""

    def __init__(self) -> None:
        self._checkers = Checkers()
        self._threads = {format: WorkerThreads(f"compiler-{format.value.lower()}", _THREADS) for format in _COMPILERS}

    def close(self) -> None:
        """Compile no more."""
        for threads in self._threads.values():
            threads.close()
        self._checkers.close()

    async def compile(
        self,
        format: Format,
        text: str,
        references: Sequence[Source],
        known: Callable[[], CompiledSchema | None],
        wait: float,
    ) -> CompiledSchema:
        """The codec of a schema; ``references`` come before those that refer to them.

        ``known`` gives the codec that others may have compiled while this waited. ValueError for what is no schema, or
        takes too much to compile; NoFreeThread after ``wait`` seconds, TimeoutError on a machine that is too busy.
        """
        return await self._threads[format].run(
            lambda: self._codec(format, text, references), wait=wait, limit=_COMPILE_SECONDS, known=known
        )

    def _codec(self, format: Format, text: str, references: Sequence[Source]) -> CompiledSchema:
        try:
            return _COMPILERS[format](text, references, self._checkers)
        except (ValueError, OSError, FacadeError):
            raise
        except Exception as error:
            # The parsers' libraries raise anything at a schema that has another form than they expect.
            raise ValueError(f"the schema can't be compiled: {quote(error)}") from None
