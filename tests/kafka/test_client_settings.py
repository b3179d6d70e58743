"""Java client settings are translated for librdkafka, or rejected by name."""

import logging
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.client_settings import jaas
from kafka_facade.client_settings.java_names import translate
from kafka_facade.client_settings.key_stores import file_of
from kafka_facade.client_settings.problem import BadSettings
from kafka_facade.kafka.protocol.settings import protocol_config
from kafka_facade.kafka.settings.check import unknown_settings
from tls_files import TlsFiles

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
ROLES = ["producer", "consumer", "admin"]
_LOGIN = {"sasl.mechanism": "PLAIN", "sasl.username": "a", "sasl.password": "canary"}


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate authority, a server's and a client's certificate, in the formats that Java knows."""
    return TlsFiles(tmp_path_factory.mktemp("tls"))


def test_translation() -> None:
    found = translate(
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.jaas.config": f'{PLAIN} required username=\'ann\' password="s=cr\\"et; ";',
            "max.request.size": "2097152",
            "buffer.memory": "33554432",
            "ssl.endpoint.identification.algorithm": "",
        }
    )
    assert dict(found.config) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "ann",
        "sasl.password": 's=cr"et; ',
        "message.max.bytes": "2097152",
        "queue.buffering.max.kbytes": "32768",
        "ssl.endpoint.identification.algorithm": "none",
    }
    assert "cr" not in repr(found).replace("endpoint.identification", "").replace("secure", "")


def test_oauth() -> None:
    found = translate(
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.token.endpoint.url": "https://issuer.example/token",
            "sasl.login.callback.handler.class": (
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler"
            ),
            "sasl.jaas.config": f'{OAUTH} required clientId="ann" clientSecret="canary" extension_cluster="lkc";',
        }
    ).config
    assert found["sasl.oauthbearer.method"] == "oidc"
    assert found["sasl.oauthbearer.client.id"] == "ann"
    assert found["sasl.oauthbearer.client.secret"] == "canary"
    assert found["sasl.oauthbearer.extensions"] == "cluster=lkc"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "properties",
    [
        {},
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "a",
            "sasl.password": "b",
        },
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.jaas.config": f'{SCRAM} required username="a" password="b";',
        },
        {"security.protocol": "SSL", "ssl.enabled.protocols": "TLSv1.2,TLSv1.3", "ssl.protocol": "TLSv1.3"},
        {"security.protocol": "SSL", "ssl.provider": "", "ssl.trustmanager.algorithm": "PKIX", "ssl.key.password": ""},
        {"acks": "1"},
        {"request.required.acks": "-1"},
        {"acks": "0", "linger.ms": "28999"},
        {"transactional.id": "", "delivery.report.only.error": "false"},
        {"session.timeout.ms": "10000", "isolation.level": "read_committed", "group.protocol": "classic"},
        {"sasl.login.refresh.window.factor": "0.8", "sasl.kerberos.ticket.renew.jitter": "0.05"},
    ],
)
def test_valid_combinations_of_settings(role: str, properties: dict[str, str]) -> None:
    assert unknown_settings(role, properties, fixed=_fixed(role)) == []


def _fixed(role: str) -> dict[str, int]:
    return {"message.timeout.ms": 29_000} if role == "producer" else {}


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"transactional.id": "a"}, "transactional.id: the gateway produces without transactions"),
        *(({name: "2"}, f"{name}: expected one of all, -1, 0, 1") for name in ("acks", "request.required.acks")),
        *(({"acks": value}, "acks: expected one of all, -1, 0, 1") for value in ("-2", "many", "01")),
        (
            {"linger.ms": "29000"},
            "linger.ms: the Kafka client says: `message.timeout.ms` must be greater than `linger.ms`;"
            " the gateway sets message.timeout.ms=29000",
        ),
        (
            {"delivery.report.only.error": "true"},
            "delivery.report.only.error: not supported by the Kafka client; only false is supported",
        ),
        *(({name: "x"}, f"{name}: only a program") for name in ("stats_cb", "on_delivery", "default.topic.config")),
    ],
)
def test_settings_with_which_no_record_could_be_produced(properties: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings) as caught:
        unknown_settings("producer", properties | {"client.id": "a"}, fixed=_fixed("producer"))
    assert str(caught.value).startswith(said)


def test_credentials_that_the_registry_uses() -> None:
    assert unknown_settings("producer", _LOGIN, sasl_shared=True) == []


def test_unknown_names() -> None:
    unknown = {
        "bogus": "1",
        "metric.reporters": "",
        "confluent.monitoring.interceptor.sasl.jaas.config": "x",
        "key.serializer": "org.apache.kafka.common.serialization.ByteArraySerializer",
        "securty.protocol": "",
    }
    assert unknown_settings("producer", unknown | {"acks": "all"}) == list(unknown)


@pytest.mark.parametrize("role", ["producer", "consumer", "admin"])
def test_interceptors_that_may_protect_records_prevent_the_start(role: str) -> None:
    measuring = "io.confluent.monitoring.clients.interceptor.MonitoringProducerInterceptor"
    assert unknown_settings(role, {"interceptor.classes": measuring}) == ["interceptor.classes"]
    assert unknown_settings(role, {"interceptor.classes": ""}) == ["interceptor.classes"]
    with pytest.raises(BadSettings) as caught:
        unknown_settings(role, {"interceptor.classes": f"{measuring}, x.EncryptingInterceptor"})
    assert "interceptor.classes" in str(caught.value)


@pytest.mark.parametrize("role", ["producer", "consumer", "admin"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("value.serializer", "x.EncryptingSerializer"),
        ("key.deserializer", "x.DecryptingDeserializer"),
        ("config.providers", "vault"),
        ("config.providers.vault.class", "x.Vault"),
    ],
)
def test_java_classes_that_may_protect_records_prevent_the_start(role: str, name: str, value: str) -> None:
    assert unknown_settings(role, {name: ""}) == [name]
    with pytest.raises(BadSettings, match=name):
        unknown_settings(role, {name: value})


@pytest.mark.parametrize(
    ("properties", "named", "said"),
    [
        ({"linger.ms": "soon", "acks": "all"}, "linger.ms", "Invalid value"),
        ({"max.request.size": "much", "buffer.memory": "?"}, "buffer.memory", "invalid literal"),
        ({"security.protocol": "BOGUS"}, "security.protocol", "Invalid value"),
        ({"security.protocol": "SASL_SSL"}, "security.protocol", "GSSAPI"),
        (
            {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "a"},
            "sasl.username",
            "must be",
        ),
        ({"ssl.truststre.location": "/x"}, "ssl.truststre.location", "doesn't know it"),
        ({"securityprotocol": "SSL"}, "securityprotocol", "doesn't know it"),
        ({"ssl.crl.location": "/x"}, "ssl.crl.location", "unused with security.protocol=PLAINTEXT"),
        ({"ssl.cipher.suites": "BOGUS", "security.protocol": "SSL"}, "ssl.cipher.suites", "cipher"),
        ({"ssl.enabled.protocols": "TLSv1.3"}, "ssl.enabled.protocols", "TLSv1.2,TLSv1.3"),
        ({"ssl.engine.factory.class": "x.Y"}, "ssl.engine.factory.class", "not supported by"),
        ({"security.providers": "x.Y"}, "security.providers", "not supported by"),
        ({"sasl.login.callback.handler.class": "x.Y"}, "sasl.login.callback.handler.class", "not supported by"),
        ({"ssl.truststore.location": "/nowhere"}, "ssl.truststore.location", "can't be read"),
        ({"ssl.truststore.password": "canary"}, "ssl.truststore.password", "location or certificates"),
        ({"ssl.keystore.type": "BCFKS"}, "ssl.keystore.type", "JKS, PKCS12, PEM"),
        ({"ssl.keystore.password": "canary"}, "ssl.keystore.password", "no key store"),
        ({"ssl.keystore.key": "canary"}, "ssl.keystore.key", "PEM"),
        (
            {
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.jaas.config": f'{PLAIN} required username="a" password="canary";',
            },
            "sasl.jaas.config",
            "not for the mechanism SCRAM-SHA-512",
        ),
        ({"sasl.jaas.config": f'{PLAIN} required username="a" password="canary'}, "sasl.jaas.config", "at character"),
        ({"sasl.jaas.config": "x.Canary required;"}, "sasl.jaas.config", "login modules"),
        (
            {"sasl.mechanism": "SCRAM-SHA-256", "sasl.jaas.config": f"{SCRAM} required username=a tokenauth=true;"},
            "sasl.jaas.config",
            "tokenauth",
        ),
        (
            {
                "sasl.mechanism": "PLAIN",
                "sasl.password": "canary-2",
                "sasl.jaas.config": f"{PLAIN} required username=a password=canary;",
            },
            "sasl.password",
            "contradict",
        ),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "sasl.mechanism", "is mandatory"),
        ({"sasl.mechanism": "PLAIN", "sasl.username": "a", "sasl.password": "canary"}, "sasl.password", "unused with"),
        ({"security.protocol": "SASL_PLAINTEXT", **_LOGIN, "ssl.ca.location": "/x"}, "ssl.ca.location", "unused with"),
        ({"security.protocol": "SSL", **_LOGIN}, "sasl.username", "unused with security.protocol=SSL;"),
        ({"schema.registry.basic.auth.user.info": "a:canary"}, "schema.registry.basic.auth.user.info", "know it"),
        ({"SECURITY.PROTOCOL": "SSL"}, "SECURITY.PROTOCOL", "know it"),
        ({"securty.protocol": "SSL"}, "securty.protocol", "know it"),
        ({"security_protocol": "SSL"}, "security_protocol", "know it"),
        ({"client.security.protocol": "SSL"}, "client.security.protocol", "know it"),
        ({"jaas.config": "canary"}, "jaas.config", "know it"),
        ({"pasword": "canary"}, "pasword", "know it"),
        ({"listener.name.x.ssl.trustore.location": "/x"}, "listener.name.x.ssl.trustore.location", "know it"),
        (
            {"security.protocol": "SSL", "ssl.truststore.certificates": "canary", "ssl.ca.location": "/x"},
            "ssl.ca.location",
            "exclude each other",
        ),
        (
            {"security.protocol": "SSL", "ssl.keystore.key": "canary", "ssl.certificate.location": "/x"},
            "ssl.certificate.location",
            "exclude each other",
        ),
        (
            {
                "sasl.mechanism": "OAUTHBEARER",
                "sasl.jaas.config": f'{OAUTH} required unsecuredLoginStringClaim_sub="a";',
            },
            "sasl.jaas.config",
            "unsecuredLogin",
        ),
    ],
)
def test_unsupported_settings_are_rejected_by_name(properties: dict[str, str], named: str, said: str) -> None:
    with pytest.raises(BadSettings) as caught:
        unknown_settings("admin", properties)
    assert named in caught.value.names
    assert said in caught.value.reason
    assert "canary" not in str(caught.value)


def test_validation_requests_no_token() -> None:
    with socket.create_server(("127.0.0.1", 0)) as issuer:
        issuer.setblocking(False)
        config = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.client.id": "ann",
            "sasl.oauthbearer.client.secret": "canary",
            "sasl.oauthbearer.token.endpoint.url": f"http://127.0.0.1:{issuer.getsockname()[1]}/token",
        }
        for role in ROLES:
            assert unknown_settings(role, config) == []
        # A server that never responds would delay the start by 20 s for each client.
        with pytest.raises(BlockingIOError):
            issuer.accept()


def test_validation_writes_nothing_and_opens_no_connection(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("kafka_facade.kafka.check").setLevel(logging.DEBUG)
    for role in ROLES:
        unknown_settings(role, {"security.protocol": "SSL", "debug": "all"})
    written = capfd.readouterr()
    assert written.err + written.out == ""


@pytest.mark.parametrize("role", ROLES)
def test_pkcs12(tls: TlsFiles, role: str) -> None:
    properties = {"security.protocol": "SSL", **tls.pkcs12_properties}
    assert unknown_settings(role, properties) == []
    config = translate(properties).config
    assert tls.password not in config.values()
    context = protocol_config({"bootstrap.servers": "127.0.0.1:1"} | config)["ssl_context"]
    assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("joined", ["\n", " ", "\\n"])
def test_pem_in_the_settings(tls: TlsFiles, joined: str) -> None:
    properties = {
        "security.protocol": "SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.key": tls.client_key.replace("\n", joined),
        "ssl.keystore.certificate.chain": tls.client_chain.replace("\n", joined),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": tls.authority.replace("\n", joined),
    }
    for role in ROLES:
        assert unknown_settings(role, properties) == []


def test_pem_files(tls: TlsFiles) -> None:
    properties = {
        "security.protocol": "SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(tls.client_pem),
        "ssl.key.password": tls.password,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(tls.authority_pem),
    }
    for role in ROLES:
        assert unknown_settings(role, properties) == []
    for wrong in ("canary-3", ""):
        with pytest.raises(BadSettings, match=r"ssl\.") as caught:
            unknown_settings("admin", properties | {"ssl.key.password": wrong})
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ssl.keystore.password": "canary"}, "its password is another"),
        ({"ssl.key.password": "canary"}, "password of the store"),
        ({"ssl.truststore.password": "canary"}, "its password is another"),
    ],
)
def test_wrong_passwords_of_stores(tls: TlsFiles, change: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings, match=said) as caught:
        unknown_settings("producer", {"security.protocol": "SSL", **tls.pkcs12_properties, **change})
    assert set(change) <= set(caught.value.names)
    assert "canary" not in str(caught.value)


def test_the_error_for_a_jks_has_the_command_to_convert_it(tmp_path: Path) -> None:
    store = tmp_path / "store.jks"
    store.write_bytes(b"\xfe\xed\xfe\xed\x00\x00\x00\x02")
    with pytest.raises(BadSettings, match=f"keytool -importkeystore -srckeystore {store}"):
        translate({"ssl.keystore.location": str(store), "ssl.keystore.password": "canary"})


@pytest.mark.parametrize("data", [b"", b"\x30\x82", b"\x00" * 100, b"-----BEGIN", "café".encode("latin-1")])
def test_files_that_are_not_stores(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "store"
    file.write_bytes(data)
    for kind in ("keystore", "truststore"):
        with pytest.raises(BadSettings):
            translate({f"ssl.{kind}.location": str(file)})


def test_a_pem_text_instead_of_a_file() -> None:
    assert Path(file_of("text")).read_text() == "text"
    assert Path(file_of("other")).read_text() == "other"


def test_jaas() -> None:
    module = jaas.parse("""a.b.Module required one="1;=\\"2" two='3"' three=4.5 five="" six="\\a\\v\\t";""")
    assert module.name == "Module"
    assert module.options == {"one": '1;="2', "two": '3"', "three": "4.5", "five": "", "six": "\a\v\t"}
    assert "4.5" not in repr(module)


@pytest.mark.parametrize(
    "text",
    [
        '/* a="1"; */ x.Module /**/ required // it is\n a="//1" /* ; \n */ b=2/3 // ;\n ; // the end',
        'x.Module required a="//1" b=2/3; /* the end */',
    ],
)
def test_jaas_with_comments(text: str) -> None:
    module = jaas.parse(text)
    assert (module.name, module.options) == ("Module", {"a": "//1", "b": "2/3"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "// Module required a=1;",
        "Module required a=1; /*",
        "Module required a=http://b;",
        "Module",
        "Module required",
        "Module required a=1",
        "Module sometimes a=1;",
        "Module required a=1; Module required a=1;",
        "Module required a=1 a=2;",
        "Module required a;",
        "Module required a==1;",
        "Module required =1;",
        'Module required a="1;',
        'Module required a="\\101";',
        "; required a=1;",
        "Module required a=1;;",
    ],
)
def test_invalid_jaas(text: str) -> None:
    with pytest.raises(ValueError):
        jaas.parse(text)


@given(st.text(max_size=200))
def test_any_jaas(text: str) -> None:
    for given_ in (text, f"Module required a={text};", f'Module required a="{text}";'):
        try:
            module = jaas.parse(given_)
        except ValueError:
            continue
        assert module.name


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(max_size=30), max_size=4))
def test_quoted_options_are_unquoted(options: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = "M required " + " ".join(f"{name}={quoted(value)}" for name, value in options.items()) + ";"
    assert jaas.parse(text).options == options


def test_validation_loads_no_unneeded_library() -> None:
    code = "import sys, kafka_facade.runtime.settings; print('cryptography' in sys.modules, 'authlib' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "False"]
