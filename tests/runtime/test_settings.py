"""Sources of settings, and errors of invalid ones."""

from pathlib import Path

import pytest

from kafka_facade.runtime import memory
from kafka_facade.runtime.settings import known_settings, load, sections
from kafka_facade.runtime.settings_reference import tables
from kafka_facade.runtime.sources import SettingsError
from kafka_facade.settings.declaration import Setting, settings_of
from kafka_facade.settings.parsers import Address

MEBIBYTE = 1 << 20


def test_every_setting_is_documented() -> None:
    described = [key for _, rows in tables() for key, _, text in rows if text]
    prefixes = {"client.*", "producer.*", "consumer.*", "admin.*", "schema.registry.*"}
    assert set(described) == set(known_settings()) | prefixes
    assert len(described) == len(set(described))


def test_no_two_sections_declare_a_setting_differently() -> None:
    declared: dict[str, Setting] = {}
    for section in sections().values():
        for _, setting in settings_of(section):
            assert declared.setdefault(setting.key, setting) is setting


def test_precedence(tmp_path: Path) -> None:
    file = tmp_path / "kafka-rest.properties"
    file.write_text(
        "# a comment\nbootstrap.servers=file:1\nlisteners = http://0.0.0.0:1\nworkers: 2\n"
        "confluent.resource.name.authority=caf\\u00e9\n"
    )
    environment = {
        "KAFKA_REST_BOOTSTRAP_SERVERS": "PLAINTEXT://env:2",
        "KAFKA_REST_LISTENERS": "http://127.0.0.1:2",
        "KAFKA_REST_LOG4J_ROOT_LOGLEVEL": "INFO",
        "PATH": "/bin",
    }
    settings, warnings = load(file, ["bootstrap.servers=option:3"], environment)
    assert settings.cluster.bootstrap_servers == "option:3"
    assert settings.http.listeners == (Address("127.0.0.1", 2),)
    assert settings.peers.workers == 2
    assert settings.rest.resource_name_authority == "café"
    assert warnings == []


def test_client_settings_go_to_the_clients() -> None:
    options = [
        "client.security.protocol=SSL",
        "producer.linger.ms=3",
        "consumer.request.timeout.ms=9",
        "admin.retries=1",
    ]
    settings, _ = load(None, options, {})
    assert settings.cluster.producer == {"security.protocol": "SSL", "linger.ms": "3"}
    assert settings.cluster.consumer == {"security.protocol": "SSL"}
    assert settings.cluster.admin == {"security.protocol": "SSL", "retries": "1"}
    assert settings.consumers.request_timeout_ms == 9


def test_settings_of_one_client_override_those_of_all_under_any_name() -> None:
    options = ["client.sasl.mechanism=PLAIN", "producer.sasl.mechanisms=SCRAM-SHA-512", "admin.sasl.mechanism=X"]
    settings, _ = load(None, [*options, "client.message.max.bytes=1", "producer.max.request.size=2"], {})
    assert settings.cluster.producer == {"sasl.mechanisms": "SCRAM-SHA-512", "max.request.size": "2"}
    assert settings.cluster.consumer == {"sasl.mechanism": "PLAIN", "message.max.bytes": "1"}
    assert settings.cluster.admin == {"sasl.mechanism": "X", "message.max.bytes": "1"}


def test_defaults_of_consumer_instances_may_be_given_for_all_clients() -> None:
    settings, _ = load(None, ["client.auto.offset.reset=earliest", "client.enable.auto.commit=FALSE"], {})
    assert (settings.consumers.auto_offset_reset, settings.consumers.auto_commit) == ("earliest", False)
    settings, _ = load(None, ["client.auto.offset.reset=earliest", "consumer.auto.offset.reset=none"], {})
    assert (settings.consumers.auto_offset_reset, settings.consumers.auto_commit) == ("none", True)
    # The Kafka clients get neither: a producer knows no such setting, and instances have their own.
    assert settings.cluster.producer == settings.cluster.consumer == {}


def test_an_unknown_key_is_a_warning_with_its_name() -> None:
    _, warnings = load(None, ["simpleconsumer.pool.size.max=3"], {"KAFKA_REST_BOGUS_KEY": "1"})
    assert len(warnings) == 2
    assert any("simpleconsumer.pool.size.max" in warning for warning in warnings)
    assert any("bogus.key" in warning for warning in warnings)


@pytest.mark.parametrize(("text", "expected"), [("unix", ""), ("tcp://127.0.0.1", "127.0.0.1"), ("tcp://[::1]", "::1")])
def test_values_of_peers_listener(text: str, expected: str) -> None:
    assert load(None, [f"peers.listener={text}"], {})[0].peers.listener == expected


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("workers=none", "a whole number from 1 to 256"),
        ("workers=0", "a whole number from 1 to 256"),
        ("listeners=0.0.0.0:80", "http://host:port"),
        ("listeners=https://0.0.0.0:80", "http://host:port"),
        ("listeners=http://h:99999", "http://host:port"),
        ("grpc.listeners=0.0.0.0", "grpc://host:port"),
        ("peers.listener=", "unix, or tcp:// and an address"),
        ("peers.listener=http://127.0.0.1", "unix, or tcp:// and an address"),
        ("peers.listener=tcp://127.0.0.1:9", "unix, or tcp:// and an address without a port"),
        ("peers.listener=tcp://0.0.0.0", "a loopback address such as 127.0.0.1, since all workers"),
        ("peers.listener=tcp://10.0.0.1", "a loopback address such as 127.0.0.1, since all workers"),
        ("peers.listener=tcp://[::]", "a loopback address such as 127.0.0.1, since all workers"),
        ("bootstrap.servers=", "host:port"),
        ("bootstrap.servers=kafka", "host:port"),
        ("bootstrap.servers=http://kafka:9092", "host:port"),
        ("api.v2.enable=maybe", "true or false"),
        ("graphql.path=graphql", "a path such as /graphql"),
        ("log.level=loud", "one of debug"),
        ("consumer.enable.auto.commit=1", "true or false"),
        ("client.enable.auto.commit=t", "true or false"),
        *(
            (f"access.control.allow.origin={origin}", "origins such as https://console.example.org")
            for origin in (
                "ht!tp",
                "*.example.org",
                "https://a.example/",
                "https://a.example/x",
                "http://",
            )
        ),
        ("access.control.allow.origin=https://a.example,b.example", "origins such as https://console.example.org"),
        ("access.control.allow.origin=https://b\u00fccher.example", "origins such as https://console.example.org"),
        ("consumer.auto.offset.reset=smallest", "one of earliest, latest, none"),
    ],
)
def test_an_invalid_value_is_reported_with_key_value_and_expectation(option: str, expected: str) -> None:
    key, _, value = option.partition("=")
    with pytest.raises(SettingsError) as caught:
        load(None, [option], {})
    assert key in str(caught.value)
    assert repr(value) in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "*", "null", "https://a.example", "http://*.a.example:*", "*://a.example", "http://[::1]:81"),
        *("chrome-extension://abcdef", "http*://a.example , http://b_c.example:8080"),
    ],
)
def test_origins_of_pages(text: str) -> None:
    found = load(None, [f"access.control.allow.origin={text}"], {})[0].cross_origin.allow_origins
    assert list(found) == [part.strip() for part in text.split(",") if part]


def test_budgets_may_exceed_2_gib() -> None:
    names = [
        "memory.max.bytes",
        "memory.requests.max.bytes",
        "consumer.prefetch.max.bytes",
        "consumer.request.max.bytes",
        "max.request.body.size",
    ]
    settings, _ = load(None, [f"{name}={2**42}" for name in names], {})
    assert {
        settings.process.memory_limit,
        settings.process.requests_memory,
        settings.pool.prefetch_bytes,
        settings.consumers.request_max_bytes,
        settings.rest.max_body_bytes,
    } == {2**42}
    with pytest.raises(SettingsError, match="a whole number from 0 to 9223372036854775807"):
        load(None, [f"memory.max.bytes={2**63}"], {})


@pytest.mark.parametrize(
    ("given", "limit", "expected"),
    [
        (0, 0, 512 * MEBIBYTE),
        (0, 600_000_000, 150_000_000),
        (0, 128 * MEBIBYTE, 32 * MEBIBYTE),
        (0, 1 << 40, 512 * MEBIBYTE),
        (1 << 42, 600_000_000, 1 << 42),
    ],
)
def test_budgets_follow_the_memory_of_the_worker(given: int, limit: int, expected: int) -> None:
    assert memory.budget(given, limit, 512 * MEBIBYTE) == expected


@pytest.mark.parametrize("host", ["a b", "a\tb", "", ":80", "a:b", "a:0", "[::1", "[x]", "a%20b", "a<b"])
def test_a_url_without_a_valid_host_is_reported_without_its_password(host: str) -> None:
    for info in ("", "ann:canary@"):
        with pytest.raises(SettingsError, match=r"schema\.registry\.url") as caught:
            load(None, [f"schema.registry.url=http://{info}{host}"], {})
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("host", ["a", "a_b.c-d:80", "[::1]:8081", "127.0.0.1", "münchen.example", "a:"])
def test_a_url_with_a_valid_host(host: str) -> None:
    settings, _ = load(None, [f"schema.registry.url=https://ann:ca nary@{host}/path"], {})
    assert settings.registry.urls == (f"https://{host}/path",)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load(tmp_path / "none.properties", [], {})


def test_an_option_without_a_value() -> None:
    with pytest.raises(SettingsError, match="key=value"):
        load(None, ["workers"], {})


def test_settings_of_the_schema_registry() -> None:
    settings, warnings = load(
        None,
        [
            "schema.registry.url=http://a:8081, https://b:8081",
            "schema.registry.basic.auth.user.info=u:p",
            "schema.registry.bogus=1",
        ],
        {},
    )
    assert settings.registry.urls == ("http://a:8081", "https://b:8081")
    assert settings.registry.properties == {"basic.auth.user.info": "u:p"}
    assert warnings == ["the setting schema.registry.bogus isn't known and has no effect"]
    with pytest.raises(SettingsError, match=r"schema\.registry\.url"):
        load(None, ["schema.registry.url=localhost:8081"], {})


def test_the_url_of_the_schema_registry_by_its_other_name() -> None:
    settings, warnings = load(None, ["client.schema.registry.url=http://ann:p@a:8081"], {})
    assert settings.registry.urls == ("http://a:8081",)
    assert settings.registry.properties["basic.auth.user.info"] == "ann:p"
    assert warnings == []
    both = ["schema.registry.url=http://a:8081", "client.schema.registry.url=http://a:8081"]
    assert load(None, both, {})[0].registry.urls == ("http://a:8081",)
    with pytest.raises(SettingsError, match=r"client\.schema\.registry\.url"):
        load(None, [both[0], "client.schema.registry.url=http://b:8081"], {})
    with pytest.raises(SettingsError, match=r"schema\.registry\.url"):
        load(None, ["client.schema.registry.url=localhost:8081"], {})
