"""Decoding of the documents of a v3 produce request to records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kafka_facade.core.errors import FacadeError, PayloadTooLarge, without_traceback
from kafka_facade.core.records.json_text import is_json
from kafka_facade.core.records.model import RecordToProduce
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rest.json_stream import Document
from kafka_facade.rest.record_decoding import decode_large_record, decode_record

_Read = TypeVar("_Read")

# Decode records in pieces of this many bytes.
_PIECE = 16 * 1024


class _JsonReader(Protocol):
    """Parses JSON, in a thread if it is large, as :class:`Core` does."""

    async def read_json(self, read: Callable[[Document], _Read], text: Document, timeout: float) -> _Read: ...


@dataclass(slots=True)
class Decoded:
    """Records in order; an invalid one is replaced by its error. ``broken`` if the last one was not JSON."""

    records: list[RecordToProduce | FacadeError]
    broken: bool = False


async def decode_records(documents: list[Document], timeout: float, json: _JsonReader) -> Decoded:
    """Decode documents in time slices, large ones in a thread. Stops after a document that is not JSON."""
    decoded = Decoded([])
    size = 0
    for document in documents:
        size += len(document)
        if size > _PIECE:
            size = 0
            await time_slice()
        try:
            if len(document) > _PIECE:
                decoded.records.append(await json.read_json(decode_large_record, document, timeout))
            else:
                decoded.records.append(decode_record(document))
        except PayloadTooLarge as error:
            decoded.records.append(without_traceback(error))
        except FacadeError as error:
            decoded.records.append(without_traceback(error))
            if not await json.read_json(is_json, document, timeout):
                decoded.broken = True
                break
    return decoded
