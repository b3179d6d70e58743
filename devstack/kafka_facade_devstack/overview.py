"""The output of a started stack: its endpoints, and an example command for each face."""

import json
import shlex

from rich.console import Group, RenderableType
from rich.text import Text

from kafka_facade_devstack.stack import Stack

_TOPIC = "demo"


def overview(stack: Stack) -> RenderableType:
    """The table of endpoints and, if a gateway runs, the examples."""
    rows = {"Kafka": stack.bootstrap_servers, "Schema Registry": stack.schema_registry}
    if stack.gateway is not None:
        rows |= {"REST": stack.gateway.rest, "gRPC": stack.gateway.grpc}
        rows |= {"GraphQL": f"{stack.gateway.graphql}  (GraphiQL in a browser)"}
    rows |= {"Cluster id": stack.cluster_id, "Logs": str(stack.logs)}
    # No rich table: it would fold or crop a long path where the output is no terminal.
    width = max(map(len, rows)) + 2
    parts = [Text(), *(Text.assemble((name.ljust(width), "bold"), where) for name, where in rows.items())]
    for face, command in _examples(stack).items():
        parts += [Text(f"\n{face}", style="bold"), Text(f"  {command}")]
    return Group(*parts, Text("\nReady. Ctrl-C stops it.", style="green"))


def _examples(stack: Stack) -> dict[str, str]:
    if stack.gateway is None:
        return {}
    record = {"value": {"type": "JSON", "data": {"hello": "world"}}}
    fields = f'topicName: "{_TOPIC}", records: [{{value: {{format: JSON, data: {{hello: "GraphQL"}}}}}}]'
    mutation = {
        "query": f"mutation {{ produceRecords(input: {{{fields}}}) "
        "{ results { report { partitionId offset } error { message } } } }"
    }
    rest = f"{stack.gateway.rest}/v3/clusters/{stack.cluster_id}/topics/{_TOPIC}/records"
    method = "kafka_facade.v1.RecordService/Consume"
    start = {"topic_name": _TOPIC, "earliest": {}}
    return {
        f"REST: produce a record to the topic {_TOPIC}": _curl(record, rest),
        "GraphQL: produce another": _curl(mutation, stack.gateway.graphql),
        "gRPC: read both": f"grpcurl -plaintext -d {_quoted(start)} {stack.gateway.grpc} {method}",
    }


def _curl(document: object, url: str) -> str:
    return f'curl -X POST -H "Content-Type: application/json" --data {_quoted(document)} {url}'


def _quoted(document: object) -> str:
    return shlex.quote(json.dumps(document, separators=(",", ":")))
