import asyncio
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.clusters.model import Cluster
from kafka_facade.core.links import KINDS
from kafka_facade.core.topics.model import Partition, Topic
from kafka_facade.rest import encoding


def test_members_are_in_the_order_of_the_api() -> None:
    document = encoding.resource_document(Topic("c", "t", False, 3, 6, ["READ"]), "http://h/v3", "")
    assert list(document) == [
        "kind",
        "metadata",
        "cluster_id",
        "topic_name",
        "is_internal",
        "replication_factor",
        "partitions_count",
        "partitions",
        "configs",
        "partition_reassignments",
        "authorized_operations",
    ]
    assert document["metadata"] == {
        "self": "http://h/v3/clusters/c/topics/t",
        "resource_name": "crn:///kafka=c/topic=t",
    }
    assert document["configs"] == {"related": "http://h/v3/clusters/c/topics/t/configs"}


def test_a_relation_to_nothing_is_left_out() -> None:
    assert "leader" not in encoding.resource_document(Partition("c", "t", 0, None, []), "", "")
    assert "controller" not in encoding.resource_document(Cluster("c", None), "", "")


def test_resource_names_carry_the_authority() -> None:
    metadata = encoding.resource_document(Cluster("c", 1), "", "confluent.example.org")["metadata"]
    assert metadata["resource_name"] == "crn://confluent.example.org/kafka=c"


def test_each_kind_has_a_layout() -> None:
    assert set(KINDS) == set(encoding._LAYOUTS)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1612552482000, "2021-02-05T19:14:42Z"),
        (1612552482010, "2021-02-05T19:14:42.010Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (None, None),
        (2**62, None),
    ],
)
def test_timestamps(milliseconds: int | None, text: str | None) -> None:
    assert encoding.timestamp_text(milliseconds) == text


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, False),
        (b"", False),
        (b"gzip", True),
        (b"deflate, GZIP;q=0.5", True),
        (b"gzip;q=0", False),
        (b"gzip;q=0.0, *", False),
        (b"*", True),
        (b"*;q=0", False),
        (b"br, identity", False),
    ],
)
def test_accept_encoding(header: bytes | None, accepted: bool) -> None:
    assert encoding.accepts_gzip(header) is accepted


@given(st.binary())
def test_compression_is_gzip(body: bytes) -> None:
    assert gzip.decompress(encoding.compress(body)) == body


def test_bytes_are_base64_and_text_is_kept() -> None:
    assert json.loads(encoding.encode({"b": b"hello", "t": "ü"})) == {"b": "aGVsbG8=", "t": "ü"}


@given(st.lists(st.sampled_from([0, 1, 100, 40_000]), max_size=40))
def test_an_array_has_all_documents_whatever_their_sizes(sizes: list[int]) -> None:
    found = asyncio.run(encoding.encode_array(sizes, lambda size: {"text": "x" * size}, b'{"data":', b"}"))
    assert json.loads(found) == {"data": [{"text": "x" * size} for size in sizes]}
