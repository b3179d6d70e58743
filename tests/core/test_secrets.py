"""Redaction of secrets in settings and texts."""

import logging
import re
import sys
import time
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.secrets import HIDDEN, SecretProperties, is_secret, redact, secrets_of, shown


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "sasl.jaas.config",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.keystore.key",
        "ssl.key.pem",
        "basic.auth.user.info",
        "bearer.auth.token",
        "bearer.auth.client.secret",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "KAFKA_REST_CLIENT_SASL_PASSWORD",
        "sasl.paswordd",
        "sasl.pasword",
        "ssl.key.paswd",
        "sasl.oauthbearer.client.sercet",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)
    assert shown(name, "canary") == HIDDEN


@pytest.mark.parametrize(
    "name",
    [
        "bootstrap.servers",
        "ssl.keystore.location",
        "ssl.key.location",
        "sasl.oauthbearer.token.endpoint.url",
        "basic.auth.credentials.source",
        "sasl.mechanism",
        "graphql.max.tokens",
    ],
)
def test_names_of_other_settings(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "text",
    [
        "GET http://user:canary@host:8081/schemas/ids/1",
        "http://user:can@ary@host, https://user:canary@other",
        "http://canary@host",
        "user:canary@host:8081",
        "cannot resolve user:can@ary@host",
        "schema.registry.url=user:canary@host",
        "http://h,user:canary@host",
        "user:canary@host,http://other",
        "user:canary@host,http://ann@other",
        "http://" + "u" * 2000 + ":canary@host",
        "Authorization: Basic canary123456==",
        "{'authorization': 'Bearer eyJ0.canary.canary'}",
        'PlainLoginModule required username="ann" password="canary";',
        'password="can\\"canary";',
        "password='canary and more'",
        "ssl.key.password=canary",
        '{"client_secret": "canary"}',
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\ncanary",
    ],
)
def test_credentials_in_a_text(text: str) -> None:
    assert "canary" not in redact(text)


@pytest.mark.parametrize(
    "text", ["http://host:8081/a@b c@d", "mail to a@b.example", "a basic mistake", "graphql.max.tokens=5"]
)
def test_text_without_credentials_is_unchanged(text: str) -> None:
    assert redact(text) in (text, text.replace("host:8081/a", HIDDEN))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_text(text: str) -> None:
    redact(text)
    assert len(shown("acks", text)) < 2 * 210 * 5


@pytest.mark.parametrize(
    "value",
    [
        "user:canary@127.0.0.1:1",
        "user:the canary's@host",
        "http://user:the canary's@host",
        "user:canary" + "x" * 10_000 + "@host",
        "x" * 150 + ":canary" + "x" * 10_000 + "@host",
        "http://user:" + "canary" * 100_000 + "@host",
    ],
)
def test_credentials_in_a_value(value: str) -> None:
    assert "canary" not in shown("schema.registry.url", value)
    assert shown("schema.registry.url", value).endswith("@" + value.rpartition("@")[2] + "'")


@pytest.mark.parametrize(
    "text",
    [
        *("a:b@" * 250_000, "a:b@ " * 200_000, "://" * 330_000 + "@", "@" * 1_000_000, ":" * 1_000_000 + "@"),
        *("x" * 1_000_000 + "@", "://" * 300_000 + " @", "a " * 500_000 + "@", "=,;/&" * 200_000 + ":@"),
    ],
)
def test_redacting_a_megabyte_is_fast(text: str) -> None:
    began = time.process_time()
    redact(text)
    shown("schema.registry.url", text)
    assert time.process_time() - began < 5


def test_redacting_takes_linear_time() -> None:
    began = time.process_time()
    texts = (
        "password=" * 20_000,
        "://" * 30_000 + " @",
        "basic " + "a" * 200_000,
        'password="' + "\\" * 200_000,
        "bearer " * 30_000,
    )
    for text in texts:
        redact(text)
    assert time.process_time() - began < 5


def test_secrets_of_settings() -> None:
    found = secrets_of(
        {
            "sasl.jaas.config": "x.PlainLoginModule required username=\"ann\" password='canary-1';",
            "basic.auth.user.info": "ann:canary-2",
            "ssl.key.password": "abc",
            "client.id": "canary-3",
        }
    )
    assert {"canary-1", "canary-2"} <= found
    assert not {"abc", "canary-3", "ann"} & found
    assert redact("it is canary-1, not canary-2", found) == f"it is {HIDDEN}, not {HIDDEN}"


def test_other_spellings_of_secrets() -> None:
    jaas = 'x.PlainLoginModule required username="ann" password="canary\\"3";'
    found = secrets_of({"basic.auth.user.info": "ann:can@ry\n2", "sasl.jaas.config": jaas})
    encoded = b64encode(b"ann:can@ry\n2").decode()
    for text in (
        "can@ry\n2",
        r"can@ry\n2",
        "can%40ry%0A2",
        encoded,
        'canary"3',
        "canary%223",
        r"canary\"3",
        "canary&quot;3",
    ):
        assert redact(f"it is {text}!", found) == f"it is {HIDDEN}!"


@given(
    st.text("idéCID:-", max_size=5),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40),
    st.text("x\n", max_size=4),
)
def test_a_secret_within_base64(before: str, secret: str, after: str) -> None:
    secrets = secrets_of({"sasl.oauthbearer.client.secret": secret})
    for text in (secret, quote(secret, safe=""), quote_plus(secret)):
        data = f"{before}:{text}{after}".encode()
        for encoded in (b64encode(data).decode(), urlsafe_b64encode(data).decode()):
            escaped = quote(encoded, safe="")
            for sent in (encoded, escaped, re.sub("%..", lambda byte: byte[0].lower(), escaped)):
                shown_text = redact(f'{{"said": "{sent}"}}', secrets)
                assert HIDDEN in shown_text
                # A character at either end may share its bits with the surrounding text.
                left = unquote(shown_text.partition(HIDDEN)[0].removeprefix('{"said": "'))
                assert len(left) * 6 <= (len(before.encode()) + 1) * 8 + 5


def test_base64_of_other_texts_is_unchanged() -> None:
    secrets = secrets_of({"sasl.oauthbearer.client.secret": "canary-5", "sasl.oauthbearer.client.id": "ann"})
    text = b64encode(b"ann: is no secret").decode()
    assert redact(f"it is {text}", secrets) == f"it is {text}"


def test_a_repr_has_no_secrets() -> None:
    properties = SecretProperties({"sasl.password": "canary", "proxy": "http://u:canary@p", "acks": "all"})
    for text in (repr(properties), str(properties), f"{properties}", f"{properties!r}"):
        assert "canary" not in text
        assert "all" in text


def test_log_lines_and_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    from kafka_facade.runtime.log import SafeFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SafeFormatter({"s3cret-canary"}))
    logger = logging.getLogger("kafka_facade.test_secrets")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        raise ValueError("http://user:canary@host and s3cret-canary")
    except ValueError:
        logger.exception("failed with %s", "s3cret-canary")
    finally:
        logger.removeHandler(handler)
    written = capsys.readouterr().err
    assert "ValueError" in written
    assert "canary" not in written
