"""Credentials of the Schema Registry in the official spellings are sent, or rejected by name."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from kafka_facade.client_settings.problem import BadSettings
from kafka_facade.client_settings.registry import client_config
from kafka_facade.core.errors import FacadeError
from kafka_facade.runtime.settings import Settings, load
from kafka_facade.runtime.sources import SettingsError
from kafka_facade.schemas.registry import SchemaRegistry
from tls_files import TlsFiles

_JAAS = "org.apache.kafka.common.security.plain.PlainLoginModule required username=ann password=canary;"
_SASL = ["client.sasl.mechanism=PLAIN", f"client.sasl.jaas.config={_JAAS}"]


def _settings(*options: str) -> Settings:
    settings, warnings = load(None, options, {})
    assert warnings == []
    return settings


def _config(settings: Settings) -> dict[str, object]:
    return client_config(settings.registry.url, settings.registry.properties)


class Heard:
    """A server that answers nothing useful and keeps what it was sent."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    found = Heard()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield found
    server.close()


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://ann:canary@{}", []),
        ("http://ann:can%61ry@{}", ["schema.registry.basic.auth.credentials.source=URL"]),
        ("http://{}", ["schema.registry.basic.auth.user.info=ann:canary"]),
        (
            "http://{}",
            [
                "client.schema.registry.basic.auth.user.info=ann:canary",
                "client.basic.auth.credentials.source=USER_INFO",
            ],
        ),
        ("http://{}", ["client.basic.auth.user.info=ann:canary"]),
        ("http://{}", ["schema.registry.basic.auth.credentials.source=SASL_INHERIT", *_SASL]),
        ("http://{}", ["client.schema.registry.basic.auth.credentials.source=SASL_INHERIT", *_SASL]),
    ],
)
async def test_basic_credentials_are_sent(heard: Heard, url: str, options: list[str]) -> None:
    settings = _settings(f"schema.registry.url={url.format(heard.url)}", *options)
    assert "canary" not in repr(settings)
    assert "@" not in settings.registry.urls[0]
    registry = SchemaRegistry(settings.registry.url, settings.registry.properties)
    with pytest.raises(FacadeError) as caught:
        await registry.schema(1, 5)
    await registry.close()
    expected = base64.b64encode(b"ann:canary").decode()
    assert f"basic {expected}".lower() in heard.heads[0].lower()
    assert "canary" not in str(caught.value)


async def test_a_token_is_sent(heard: Heard) -> None:
    settings = _settings(
        f"schema.registry.url=http://{heard.url}",
        "client.schema.registry.bearer.auth.credentials.source=STATIC_TOKEN",
        "client.schema.registry.bearer.auth.token=canary",
    )
    assert "canary" not in repr(settings)
    registry = SchemaRegistry(settings.registry.url, settings.registry.properties)
    with pytest.raises(FacadeError):
        await registry.schema(1, 5)
    await registry.close()
    assert "bearer canary" in heard.heads[0].lower()


def test_oauth_inherited_from_kafka() -> None:
    settings = _settings(
        "schema.registry.url=http://registry",
        "schema.registry.bearer.auth.credentials.source=SASL_OAUTHBEARER_INHERIT",
        "client.sasl.mechanism=OAUTHBEARER",
        "client.sasl.oauthbearer.client.credentials.client.id=ann",
        "client.sasl.oauthbearer.client.credentials.client.secret=canary",
        "client.sasl.oauthbearer.token.endpoint.url=https://issuer/token",
        "client.sasl.oauthbearer.scope=all",
    )
    config = _config(settings)
    assert config["bearer.auth.credentials.source"] == "OAUTHBEARER"
    assert config["bearer.auth.client.secret"] == "canary"
    assert config["bearer.auth.issuer.endpoint.url"] == "https://issuer/token"


async def test_key_stores(tmp_path_factory: pytest.TempPathFactory) -> None:
    tls = TlsFiles(tmp_path_factory.mktemp("tls"))
    options = [f"schema.registry.{name}={value}" for name, value in tls.pkcs12_properties.items()]
    settings = _settings("schema.registry.url=https://registry", *options)
    assert tls.password not in repr(settings)
    registry = SchemaRegistry("https://registry", settings.registry.properties)
    await registry.close()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["schema.registry.basic.auth.credentials.source=CUSTOM"], "basic.auth.credentials.source"),
        (["schema.registry.basic.auth.credentials.source=USER_INFO"], "basic.auth.user.info"),
        (["schema.registry.basic.auth.credentials.source=SASL_INHERIT"], "basic.auth.credentials.source"),
        (["schema.registry.basic.auth.user.info=canary"], "basic.auth.user.info"),
        (["schema.registry.bearer.auth.token=canary"], "bearer.auth.credentials.source"),
        (["schema.registry.bearer.auth.credentials.source=CUSTOM"], "bearer.auth.credentials.source"),
        *(
            (
                [
                    "schema.registry.bearer.auth.credentials.source=STATIC_TOKEN",
                    f"schema.registry.bearer.auth.token=canary{other}x",
                ],
                "bearer.auth.token",
            )
            for other in ("\n", " ", "\x01", "é")
        ),
        (["schema.registry.bearer.auth.credentials.source=OAUTHBEARER"], "bearer.auth.client.id"),
        (
            [
                "schema.registry.basic.auth.user.info=ann:canary",
                "schema.registry.bearer.auth.credentials.source=STATIC_TOKEN",
                "schema.registry.bearer.auth.token=canary",
            ],
            "bearer.auth.credentials.source",
        ),
        (["schema.registry.ssl.truststore.location=/nowhere"], "ssl.truststore.location"),
    ],
)
def test_unsupported_settings(options: list[str], named: str) -> None:
    settings = _settings("schema.registry.url=http://registry", *options)
    with pytest.raises(BadSettings) as caught:
        _config(settings)
    assert named in caught.value.names
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        ["schema.registry.url=http://ann:canary@one,http://two"],
        ["schema.registry.url=http://ann:canary@one,http://bob:canary@two"],
        ["schema.registry.url=http://ann:canary@one", "schema.registry.basic.auth.user.info=ann:canary"],
        ["schema.registry.url=http://ann:canary@one", "schema.registry.basic.auth.credentials.source=SASL_INHERIT"],
        ["schema.registry.url=ftp://ann:canary@one"],
        ["schema.registry.url=http://ann:canary@[one"],
        ["schema.registry.basic.auth.user.info=a:canary", "client.schema.registry.basic.auth.user.info=b:canary"],
        ["schema.registry.ssl.engine.factory.class=x"],
        ["schema.registry.ssl.endpoint.identification.algorithm="],
        ["schema.registry.ssl.bogus=canary"],
        ["schema.registry.baisc.auth.user.info=canary"],
        ["schema.registry.client.ssl.truststore.location=/x"],
    ],
)
def test_invalid_settings(options: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, options, {})
    assert options[-1].partition("=")[0] in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["ssl.ca.location=/nowhere"], "ssl.ca.location"),
        (["ssl.ca.location={authority_pem}", "ssl.truststore.location={authority_pem}"], "ssl.truststore.location"),
        (["ssl.certificate.location={authority_pem}", "ssl.keystore.location={client_pem}"], "ssl.keystore.location"),
        (["ssl.certificate.location={authority_pem}", "ssl.key.location={client_pem}"], "ssl.key.location"),
        (["ssl.key.location={client_pem}"], "ssl.key.location"),
        (["ssl.keystore.location={client_pem}"], "ssl.keystore.location"),
        (["ssl.keystore.location={client_pem}", "ssl.key.password=canary"], "ssl.key.password"),
    ],
)
def test_unusable_files(
    options: list[str], named: str, tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    tls = TlsFiles(tmp_path_factory.mktemp("tls"))
    settings = _settings(
        "schema.registry.url=https://r", *(f"schema.registry.{o.format_map(vars(tls))}" for o in options)
    )
    with pytest.raises(BadSettings) as caught:
        _config(settings)
    assert named in caught.value.names
    assert "canary" not in str(caught.value)
    assert "pass phrase" not in "".join(capfd.readouterr())


def test_tls_settings_without_an_https_url(tmp_path_factory: pytest.TempPathFactory) -> None:
    tls = TlsFiles(tmp_path_factory.mktemp("tls"))
    option = f"schema.registry.ssl.truststore.location={tls.authority_pem}"
    with pytest.raises(BadSettings, match="unused with http"):
        _config(_settings("schema.registry.url=http://one,http://two", option))
    _config(_settings("schema.registry.url=http://one,https://two", option))


def test_values_without_effect() -> None:
    _settings(
        "schema.registry.ssl.protocol=TLSv1.3",
        "schema.registry.ssl.endpoint.identification.algorithm=https",
        "schema.registry.ssl.provider=",
    )
