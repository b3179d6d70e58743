"""Records that Kafka rejects among valid ones of others, on each face, and the length of errors."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from conftest import TopicFactory
from faces.clients import Data, FaceClient, Produced
from faces.generic import FaceError
from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest, PayloadTooLarge

_TEXT = Data("STRING", "bad")


@pytest.mark.parametrize(
    ("config", "bad", "kind", "said"),
    [
        ({}, Produced(_TEXT, _TEXT, timestamp="2255-01-01T00:00:00Z"), InvalidKafkaRequest, "out of the range"),
        ({"cleanup.policy": "compact"}, Produced(_TEXT), InvalidKafkaRequest, "without a key"),
        (
            {"max.message.bytes": "500"},
            Produced(Data("STRING", "x" * 2_000), _TEXT),
            PayloadTooLarge,
            "larger than the maximum",
        ),
    ],
    ids=["timestamp", "key", "size"],
)
async def test_valid_records_of_others_are_stored(
    face: FaceClient,
    cluster: str,
    topic: TopicFactory,
    config: dict[str, str],
    bad: Produced,
    kind: type[FacadeError],
    said: str,
) -> None:
    name = await topic(config=config)
    good = Produced(Data("STRING", "good"), key=Data("STRING", "k"))
    outcomes = await asyncio.gather(
        *(face.produce(cluster, name, record) for _ in range(30) for record in (good, bad)), return_exceptions=True
    )
    stored, refused = outcomes[::2], outcomes[1::2]
    assert sorted(found[1] for found in stored if isinstance(found, tuple)) == list(range(30))
    for failed in refused:
        assert isinstance(failed, FaceError)
        assert failed.codes[-1] == kind.codes.v3, failed
        assert failed.codes[:-1] in (face.codes(kind)[:-1], (None,)), failed
        assert said in failed.message, failed


async def test_more_headers_than_can_be_read(face: FaceClient, cluster: str, topic: TopicFactory) -> None:
    name = await topic()
    record = Produced(Data("STRING", "v"), headers=[("a", b"")] * 100_001)
    with pytest.raises(FaceError) as caught:
        await face.produce(cluster, name, record)
    if caught.value.codes[0] == "GRAPHQL_VALIDATION_FAILED" or caught.value.codes[-1] == 413:
        # So many cost more than an operation of GraphQL may, or are more than its body may have.
        return
    assert caught.value.codes[-1] in face.codes(InvalidKafkaRequest)
    assert "headers" in caught.value.message


@pytest.mark.parametrize("format", ["BINARY", "STRING", "JSON", "AVRO"])
async def test_errors_quote_little_of_invalid_data(
    face: FaceClient, cluster: str, topic: TopicFactory, format: str
) -> None:
    name = await topic()
    bad: dict[str, Any] = {"BINARY": "!" * 900_000, "STRING": ["x" * 900_000], "AVRO": "x" * 900_000}
    record = Produced(Data(format, bad.get(format), schema='"int"' if format == "AVRO" else None))
    if format == "JSON":
        # Bad is what names the place of the record.
        record = Produced(Data("JSON", 1), partition=0, headers=[("x" * 900_000 + "\0", b"")])
    with pytest.raises(FaceError) as caught:
        await face.produce(cluster, name, record)
    assert len(caught.value.message) < 1_200
    assert not re.search(r"([!x])\1{200}", caught.value.message)
