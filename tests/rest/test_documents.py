"""The documents of resources. The replay tests check their content for each kind."""

from dataclasses import dataclass

from kafka_facade.core.clusters.model import Cluster
from kafka_facade.core.links import KINDS, Kind
from kafka_facade.core.topics.model import Partition, Topic
from kafka_facade.rest.documents import Documents

DOCUMENTS = Documents(KINDS.values())


@dataclass(slots=True)
class Shelf:
    cluster_id: str
    shelf_id: int
    width: int
    room_id: int | None
    books: list[str]


SHELF = Kind(
    "Shelf",
    Shelf,
    "/clusters/{cluster_id}/shelves/{shelf_id}",
    "kafka={cluster_id}/shelf={shelf_id}",
    "/clusters/{cluster_id}/shelves",
    {
        "room": "/clusters/{cluster_id}/rooms/{room_id}",
        "books": "/clusters/{cluster_id}/shelves/{shelf_id}/books",
    },
)


def test_relations_replace_the_fields_that_they_link_to() -> None:
    assert Documents([SHELF]).document(Shelf("c", 7, 80, 3, ["a"]), "http://h/v3", "") == {
        "kind": "Shelf",
        "metadata": {"self": "http://h/v3/clusters/c/shelves/7", "resource_name": "crn:///kafka=c/shelf=7"},
        "cluster_id": "c",
        "shelf_id": 7,
        "width": 80,
        "room": {"related": "http://h/v3/clusters/c/rooms/3"},
        "books": {"related": "http://h/v3/clusters/c/shelves/7/books"},
    }


def test_members_are_in_the_order_of_the_api() -> None:
    document = DOCUMENTS.document(Topic("c", "t", False, 3, 6, ["READ"]), "http://h/v3", "")
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


def test_a_relation_without_a_target_is_omitted() -> None:
    assert "leader" not in DOCUMENTS.document(Partition("c", "t", 0, None, []), "", "")
    assert "controller" not in DOCUMENTS.document(Cluster("c", None), "", "")


def test_resource_names_have_the_authority() -> None:
    metadata = DOCUMENTS.document(Cluster("c", 1), "", "confluent.example.org")["metadata"]
    assert metadata["resource_name"] == "crn://confluent.example.org/kafka=c"
