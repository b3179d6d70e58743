"""Compiles schemas to codecs off the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from kafka_facade.core.errors import FacadeError, without_traceback
from kafka_facade.core.quoting import quote
from kafka_facade.core.records.model import Format
from kafka_facade.core.records.port import SchemaCodec
from kafka_facade.core.worker_threads import WorkerThreads
from kafka_facade.schemas.avro import AvroCodec
from kafka_facade.schemas.json_schema import JsonSchemaCodec
from kafka_facade.schemas.json_schema_checkers import Checkers
from kafka_facade.schemas.protobuf import ProtobufCodec
from kafka_facade.schemas.protoc import compile_files

# Compiler threads per format.
_THREADS: Final = 2
# Maximum time (s) to wait for a schema on a busy machine. Each format limits its CPU time separately.
_COMPILE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Source:
    """A referenced schema, and the name of the reference."""

    name: str
    text: str


class CompiledSchema(SchemaCodec, Protocol):
    """A codec with an estimate of its memory."""

    @property
    def memory(self) -> int:
        """Maximum bytes of memory that the codec takes once it has been used."""


_Compile = Callable[[str, Sequence[Source], Checkers], CompiledSchema]

_COMPILERS: Final[Mapping[Format, _Compile]] = {
    Format.AVRO: lambda text, references, _: AvroCodec(text, [source.text for source in references]),
    Format.JSONSCHEMA: JsonSchemaCodec,
    Format.PROTOBUF: lambda text, references, _: ProtobufCodec(compile_files(text, references)),
}


class Compiler:
    """Compiles a few schemas of each format at a time, so that a slow one does not delay other formats.

    Long schemas do not delay short ones, and have less time while others wait.
    """

    def __init__(self) -> None:
        self._checkers = Checkers()
        self._threads = {format: WorkerThreads(f"compiler-{format.value.lower()}", _THREADS) for format in _COMPILERS}

    def close(self) -> None:
        """Stop the threads and child processes."""
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
        """Return the codec of a schema. A reference comes before the schemas that refer to it.

        ``known`` returns the codec if another call has compiled it meanwhile. Raises ValueError if the schema is
        invalid or too expensive to compile, Unavailable if it takes long while others wait, NoFreeThread after ``wait``
        seconds, and TimeoutError if the machine is too busy.
        """
        size = len(text) + sum(len(source.text) for source in references)
        return await self._threads[format].run(
            lambda: self._codec(format, text, references),
            wait=wait,
            limit=_COMPILE_SECONDS,
            known=known,
            size=size,
        )

    def _codec(self, format: Format, text: str, references: Sequence[Source]) -> CompiledSchema:
        failure: Exception
        try:
            return _COMPILERS[format](text, references, self._checkers)
        except (ValueError, OSError, FacadeError) as error:
            # Its frames have the decoded schema, which is to be freed here and not by the event loop.
            failure = without_traceback(error)
        except Exception as error:
            # The libraries raise arbitrary exceptions for malformed schemas.
            failure = ValueError(f"the schema can't be compiled: {quote(error)}")
        try:
            raise failure
        finally:
            # Break the reference cycle: the error's traceback refers to this frame.
            del failure
