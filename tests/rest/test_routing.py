import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.catalogue import OPERATIONS, Operation
from kafka_facade.core.errors import InvalidRequest, NotFound
from kafka_facade.rest import app as _app  # noqa: F401  # the handlers
from kafka_facade.rest.routing import Router

router = Router(OPERATIONS)


def _best(path: str, method: str = "GET") -> tuple[str, dict[str, str], str]:
    for match in router.find(path):
        if method in match.endpoint.operations:
            return match.endpoint.template, dict(match.parameters), match.prefix
    raise AssertionError(f"{method} {path} has no operation")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda row: f"{row.identifier} {row.path}")
def test_each_row_of_the_catalogue_is_routed(operation: Operation) -> None:
    names = re.findall(r"\{(\w+)\}", operation.path)
    path = operation.path.format_map({name: f"a-{name}" for name in names})
    for prefix in ("", "/kafka") if path.startswith("/v3") else ("",):
        template, parameters, found_prefix = _best(prefix + path, operation.method)
        assert (template, found_prefix) == (operation.path, prefix)
        assert parameters == {name: f"a-{name}" for name in names}


@given(st.text(min_size=1).filter(lambda name: name not in (".", "..")))
def test_parameters_are_percent_decoded(name: str) -> None:
    assert _best(f"/topics/{quote(name, safe='')}/partitions")[1] == {"topic": name}


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/topics/", "/topics"),
        ("GET", "/topics/..", "/"),
        ("GET", "/topics/./x", "/topics/{topic}"),
        ("GET", "/v3/clusters/c/topics/-/configs", "/v3/clusters/{cluster_id}/topics/-/configs"),
        ("GET", "/v3/clusters/c/topics/-/configs/-", "/v3/clusters/{cluster_id}/topics/{topic_name}/configs/{name}"),
        ("GET", "/v3/clusters/c/topics/-", "/v3/clusters/{cluster_id}/topics/{topic_name}"),
        (
            "POST",
            "/v3/clusters/c/topics/t/configs:alter",
            "/v3/clusters/{cluster_id}/topics/{topic_name}/configs:alter",
        ),
        (
            "POST",
            "/v3/clusters/c/topics/t/configs%3Aalter",
            "/v3/clusters/{cluster_id}/topics/{topic_name}/configs:alter",
        ),
        ("POST", "/v3/clusters/c/topics/-/configs:alter", "/v3/clusters/{cluster_id}/topics/-/configs:alter"),
        ("POST", "/v3/clusters/c/brokers/1:unregister", "/v3/clusters/{cluster_id}/brokers/{broker_id}:unregister"),
    ],
)
def test_the_most_literal_template_wins(method: str, path: str, template: str) -> None:
    assert _best(path, method)[0] == template


@pytest.mark.parametrize("path", ["/nope", "/v3", "/v3/", "/v3/bogus", "/kafka/topics", "/topics/a/b/c", "/consumers"])
def test_unknown_paths(path: str) -> None:
    with pytest.raises(NotFound):
        router.find(path)


@pytest.mark.parametrize("path", ["//topics", "/topics//x", "/../topics", "/topics/%ff"])
def test_malformed_paths(path: str) -> None:
    with pytest.raises(InvalidRequest):
        router.find(path)
