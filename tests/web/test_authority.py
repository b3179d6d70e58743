"""Hosts and ports as callers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.web.authority import parse_authority

_NO_HOSTS = [":80", "h:x", "h:65536", "h:-1", "h:80:80", "h:123456", "u@h", "u:p@h", "h/x", "h?x", "h#x", "h,i", "h%41"]
_NO_HOSTS += ["h'", "é", "::1", "[::1", "[::1]x", "[:::1]", "[fe80::1%eth0]", '"><script>', "", " h", "h x", "h\t"]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("h", "h", None),
        ("h:", "h", None),
        ("Rest_Proxy-1.example.org:8082", "Rest_Proxy-1.example.org", 8082),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("[::1]:65535", "[::1]", 65535),
        ("[fe80::1:2]", "[fe80::1:2]", None),
    ],
)
def test_hosts(text: str, host: str, port: int | None) -> None:
    found = parse_authority(text)
    assert found is not None
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize("text", [*_NO_HOSTS, "a" * 256])
def test_invalid_hosts(text: str) -> None:
    assert parse_authority(text) is None


@given(st.text(max_size=300))
def test_hosts_need_no_escaping_in_links(text: str) -> None:
    found = parse_authority(text)
    assert found is None or not set(str(found)) & set("\"'<>&%/\\?#@ \t\r\n")


@pytest.mark.parametrize(
    ("one", "other", "scheme", "same"),
    [
        ("h", "H:80", "http", True),
        ("h:443", "h", "https", True),
        ("h", "h:443", "http", False),
        ("h:81", "h:82", "http", False),
    ],
)
def test_endpoints(one: str, other: str, scheme: str, same: bool) -> None:
    left, right = parse_authority(one), parse_authority(other)
    assert left is not None
    assert right is not None
    assert (left.endpoint(scheme) == right.endpoint(scheme)) == same
