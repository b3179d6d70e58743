"""The base URL of links."""

from typing import Any

import pytest

from kafka_facade.rest.asgi import AsgiConnection
from kafka_facade.rest.options import RestOptions
from kafka_facade.rest.origin import origin

_unused: Any = None
_SCOPE = {"scheme": "http", "server": ("10.0.0.1", 8082)}
_LISTENERS = ["http://in.example.org:8082", "https://out.example.org/"]


@pytest.mark.parametrize(
    ("options", "headers", "expected"),
    [
        ({}, {}, "http://10.0.0.1:8082"),
        ({}, {"host": "h:81"}, "http://h:81"),
        ({}, {"host": "h", "x-forwarded-host": "x", "x-forwarded-proto": "https", "forwarded": "host=y"}, "http://h"),
        ({"host_name": "n"}, {"host": "h:81"}, "http://n:8082"),
        ({"host_name": "n"}, {"host": "h"}, "http://n"),
        ({"host_name": "::1"}, {"host": "h:81"}, "http://[::1]:8082"),
        ({"host_name": "n", "advertised_listeners": _LISTENERS}, {"host": "h"}, "http://in.example.org:8082"),
        ({"advertised_listeners": _LISTENERS[1:]}, {"host": "h"}, "https://out.example.org"),
        ({"forwarded": True}, {"host": "h:81"}, "http://h:81"),
        ({"forwarded": True}, {"host": "h:81", "x-forwarded-proto": "https"}, "https://h:81"),
        ({"forwarded": True}, {"host": "h:81", "x-forwarded-proto": "javascript"}, "http://h:81"),
        ({"forwarded": True}, {"host": "h:81", "x-forwarded-host": "a:444, b"}, "http://a:444"),
        ({"forwarded": True}, {"host": "h", "x-forwarded-host": "a", "x-forwarded-port": "444"}, "http://a:444"),
        ({"forwarded": True}, {"host": "h:81", "x-forwarded-port": "80"}, "http://h"),
        (
            {"forwarded": True},
            {"host": "h", "x-forwarded-host": "x", "forwarded": 'for=1.2.3.4;Host="a:444" ; proto=https, host=b'},
            "https://a:444",
        ),
        (
            {"forwarded": True, "advertised_listeners": _LISTENERS},
            {"host": "h", "x-forwarded-proto": "https"},
            "https://out.example.org",
        ),
        ({"forwarded": True}, {"host": "h", "forwarded": "nonsense"}, "http://h"),
        ({"forwarded": True}, {"host": "h", "forwarded": 'host="<script>"'}, "http://h"),
        ({"forwarded": True}, {"host": "h", "forwarded": 'host="u@x"', "x-forwarded-host": "a"}, "http://a"),
        ({"forwarded": True}, {"host": "h", "x-forwarded-host": '"><script>'}, "http://h"),
        ({"forwarded": True}, {"host": "h", "x-forwarded-host": "a/b", "x-forwarded-port": "81"}, "http://h:81"),
        ({"forwarded": True}, {"host": "h", "x-forwarded-port": "99999"}, "http://h"),
        ({"forwarded": True}, {"host": "h:81", "x-forwarded-port": "0"}, "http://h:81"),
        ({"forwarded": True}, {"host": "h", "x-forwarded-host": "a:0"}, "http://h"),
        ({"forwarded": True}, {"host": "h", "forwarded": "host=a:0", "x-forwarded-host": "b"}, "http://b"),
        ({}, {"host": '"><script>'}, "http://10.0.0.1:8082"),
        ({}, {"host": "[::1]:81"}, "http://[::1]:81"),
    ],
)
def test_origins(options: dict[str, object], headers: dict[str, str], expected: str) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    connection = AsgiConnection({"method": "GET", "headers": raw, **_SCOPE}, _unused, _unused)
    assert origin(connection, RestOptions(**options)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        [("x-forwarded-host", "first"), ("x-forwarded-host", "second")],
        [("x-forwarded-host", "first, second"), ("x-forwarded-host", "third")],
        [("forwarded", "host=first"), ("forwarded", "host=second"), ("x-forwarded-host", "third")],
    ],
)
def test_of_several_fields_the_first_is_from_the_outermost_proxy(fields: list[tuple[str, str]]) -> None:
    raw = [(b"host", b"h"), *((name.encode(), value.encode()) for name, value in fields)]
    connection = AsgiConnection({"method": "GET", "headers": raw, **_SCOPE}, _unused, _unused)
    assert origin(connection, RestOptions(forwarded=True)) == "http://first"
