"""The schema matches the catalogue, the link table and the committed file."""

from importlib.resources import files

import pytest
from graphql import GraphQLInterfaceType, GraphQLNamedType, GraphQLObjectType, GraphQLSchema, get_named_type
from strawberry.utils.str_converters import to_camel_case

from kafka_facade.core.catalogue import CATALOGUE, OPERATIONS, Operation
from kafka_facade.core.core import IMPLEMENTED
from kafka_facade.core.links import KINDS, LAST_PRODUCED_TIME, Kind
from kafka_facade_graphql.options import GraphQLOptions
from kafka_facade_graphql.placeholders import placeholders
from kafka_facade_graphql.schema import GRAPH, create_schema, roots, sdl

SCHEMA: GraphQLSchema = create_schema(GraphQLOptions())._schema
ROOTS = {"query": SCHEMA.query_type, "mutation": SCHEMA.mutation_type, "subscription": SCHEMA.subscription_type}
ALL = CATALOGUE.all
# Resources that are plain values in the graph.
SCALARS = (LAST_PRODUCED_TIME,)


def walk(root: GraphQLNamedType | None, path: str) -> str | None:
    """The description of the field at a path, through the nodes of connections; None where it is not there."""
    at, description = root, None
    for name in path.split("."):
        if isinstance(at, GraphQLObjectType) and name not in at.fields and "nodes" in at.fields:
            at = get_named_type(at.fields["nodes"].type)
        if not isinstance(at, GraphQLObjectType) or name not in at.fields:
            return None
        field = at.fields[name]
        description, at = field.description, get_named_type(field.type)
    return description


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: f"{operation.identifier}:{operation.graphql_field}")
def test_every_operation_has_its_field(operation: Operation) -> None:
    description = walk(ROOTS[operation.graphql_type], operation.graphql_field)
    assert description, f"{operation.graphql_type} {operation.graphql_field} is missing"
    if operation.identifier in IMPLEMENTED:
        assert not description.startswith("Not implemented"), f"{operation.identifier} is only a placeholder"


def test_a_field_replaces_its_placeholder() -> None:
    types = roots(GRAPH, CATALOGUE)
    operation = Operation("api.x", "open", "GET", "/x/{name}", "S", "M", "query", "cluster.topic.invented")
    assert [field.graphql_name for field in placeholders(types, [operation], {})["Topic"]] == ["invented"]
    real = Operation("api.x", "open", "GET", "/x", "S", "M", "query", "cluster.topic.partitions")
    assert placeholders(types, [real], {}) == {}


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind not in SCALARS], ids=lambda kind: kind.name)
def test_relations_are_nested_fields(kind: Kind) -> None:
    served = {operation.path: operation for operation in OPERATIONS if operation.identifier in IMPLEMENTED}
    graph_type = SCHEMA.type_map[kind.type.__name__]
    assert isinstance(graph_type, GraphQLObjectType)
    for relation, template in kind.relations.items():
        path = "/v3" + template.replace("{controller_id}", "{broker_id}").replace("{leader_id}", "{broker_id}")
        if path in served:
            assert to_camel_case(relation) in graph_type.fields, f"{kind.name} has no {relation}"


def test_everything_is_described() -> None:
    missing = []
    for name, graph_type in SCHEMA.type_map.items():
        if name.startswith("__"):
            continue
        if not graph_type.description:
            missing.append(name)
        for field_name, field in getattr(graph_type, "fields", {}).items():
            if not field.description:
                missing.append(f"{name}.{field_name}")
            if isinstance(graph_type, GraphQLObjectType | GraphQLInterfaceType):
                missing += [
                    f"{name}.{field_name}({argument})"
                    for argument, given in field.args.items()
                    if not given.description
                ]
    assert not missing


def test_the_committed_sdl_is_the_schema() -> None:
    committed = files("kafka_facade_graphql").joinpath("schema.graphql").read_text(encoding="utf-8")
    assert committed == sdl(), "run scripts/generate"
