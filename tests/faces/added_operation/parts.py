"""The added rows of the tables, and the parts of a gateway that serves them."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import grpc_tools  # type: ignore[import-untyped]
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_tools import protoc

from faces.added_operation.engine import TrimmingEngine
from faces.added_operation.graph import LINKS, MUTATION
from faces.added_operation.model import TopicSize
from faces.added_operation.operations import TopicSizes
from kafka_facade.core.catalogue import EXTENSIONS, OPERATIONS, Catalogue, Operation
from kafka_facade.core.links import KINDS, Kind
from kafka_facade.rpc.services import SERVICES
from kafka_facade.runtime.compose import Parts
from kafka_facade_graphql.schema import GRAPH, Graph

_HERE = Path(__file__).parent
_PROTO = _HERE.parents[2] / "proto"
_TOPICS = "/clusters/{cluster_id}/topics"
_SIZE = _TOPICS + "/{topic_name}/size"


def _row(name: str, verb: str, path: str, method: str, kind: str, field: str) -> Operation:
    return Operation(f"api.v3.topic-sizes.{name}", "facade", verb, f"/v3{path}", "SizeService", method, kind, field)


ROWS = (
    _row("list", "GET", _TOPICS + "/-/size", "ListTopicSizes", "query", "cluster.topicSizes"),
    _row("get", "GET", _SIZE, "GetTopicSize", "query", "cluster.topic.size"),
    _row("trim", "POST", _SIZE + ":trim", "TrimTopic", "mutation", "trimTopic"),
)
SIZE = Kind(
    "KafkaTopicSize",
    TopicSize,
    _SIZE,
    "kafka={cluster_id}/topic={topic_name}/size",
    _TOPICS + "/-/size",
    {"topic": _TOPICS + "/{topic_name}"},
)
CATALOGUE = Catalogue(OPERATIONS + ROWS, EXTENSIONS)


@cache
def services() -> tuple[ServiceDescriptor, ...]:
    """All services; the added one is in a descriptor pool of its own."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "size.binpb"
        includes = [f"-I{place}" for place in (_HERE, _PROTO, Path(grpc_tools.__path__[0]) / "_proto")]
        command = ["protoc", *includes, f"--descriptor_set_out={found}", "--include_imports", "size.proto"]
        assert protoc.main(command) == 0
        files = FileDescriptorSet.FromString(found.read_bytes()).file
    pool: Any = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    return (*SERVICES, pool.FindServiceByName("added.v1.SizeService"))


def parts() -> Parts:
    """The parts of the gateway."""
    return Parts(
        engine=TrimmingEngine,
        catalogue=CATALOGUE,
        kinds={**KINDS, TopicSize: SIZE},
        families=(TopicSizes(),),
        services=services(),
        graph=Graph((*GRAPH.mutations, MUTATION), LINKS),
    )
