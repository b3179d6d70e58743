"""Calls while Kafka rejects the credentials of their client."""

import asyncio
import time

import pytest
from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.errors import KafkaAuthenticationFailed, KafkaTimeout, RetriableKafkaError
from kafka_facade.kafka.authentication import Authentication, fail_fast

_REFUSED = ClientError(ClientError._AUTHENTICATION)
_NO_TOKEN = ClientError(ClientError._AUTHENTICATION, "Failed to acquire SASL OAUTHBEARER token: invalid_client")


class Port:
    """A port with calls that wait for Kafka, get a response, time out, or need no response."""

    name = "a port"

    async def waits(self) -> None:
        await asyncio.sleep(60)

    async def is_answered(self) -> str:
        await asyncio.sleep(0.01)
        return "answer"

    async def times_out(self) -> None:
        await asyncio.sleep(0.01)
        raise KafkaTimeout

    async def knows(self) -> str:
        return "known"


async def test_waiting_and_following_calls_fail_at_once() -> None:
    authentication = Authentication()
    port = fail_fast(Port(), authentication)
    assert port.name == "a port"
    waiting = [asyncio.create_task(port.waits()) for _ in range(3)]
    await asyncio.sleep(0.01)
    began = time.monotonic()
    authentication.on_error(_REFUSED)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [KafkaAuthenticationFailed] * 3
    with pytest.raises(KafkaAuthenticationFailed):
        await port.is_answered()
    assert time.monotonic() - began < 30


async def test_a_response_ends_the_failures() -> None:
    authentication = Authentication()
    port = fail_fast(Port(), authentication)
    authentication.on_error(_REFUSED)
    await asyncio.sleep(0)
    assert authentication.refused
    authentication.answered()
    assert await port.is_answered() == "answer"


async def test_results_without_kafka_do_not_count_as_a_response() -> None:
    authentication = Authentication()
    port = fail_fast(Port(), authentication)
    assert await port.knows() == "known"
    authentication.on_error(_REFUSED)
    await asyncio.sleep(0)
    assert authentication.refused


async def test_one_broker_that_rejects_credentials_does_not_fail_other_calls() -> None:
    authentication = Authentication()
    port = fail_fast(Port(), authentication)
    assert await port.is_answered() == "answer"
    waiting = asyncio.create_task(port.waits())
    await asyncio.sleep(0.01)
    authentication.on_error(_REFUSED)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()
    # A call that has waited for that broker says why it got no answer.
    with pytest.raises(KafkaAuthenticationFailed):
        await port.times_out()


async def test_without_a_token_calls_fail_until_one_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_FRESH_SECONDS", 0.01), ("_TOKEN_SECONDS", 0.5), ("_TRY_SECONDS", 0.05)):
        monkeypatch.setattr(f"kafka_facade.kafka.authentication.{name}", seconds)
    authentication = Authentication()
    port = fail_fast(Port(), authentication)
    # The client reports this once, however often it asks for a token.
    authentication.on_error(_NO_TOKEN)
    await asyncio.sleep(0.1)
    with pytest.raises(KafkaAuthenticationFailed):
        await port.is_answered()
    await asyncio.sleep(0.5)
    # Some may try, but not for long.
    assert not authentication.refused
    with pytest.raises(KafkaAuthenticationFailed):
        authentication.check(polled=True)
    with pytest.raises(KafkaAuthenticationFailed):
        async with asyncio.timeout(10):
            await port.waits()
    assert authentication.refused
    await asyncio.sleep(0.5)
    assert await port.is_answered() == "answer"
    authentication.check(polled=True)
    waiting = asyncio.create_task(port.waits())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    waiting.cancel()


@pytest.mark.parametrize(
    ("reason", "retriable"),
    [
        ("Failed to connect to 127.0.0.1:9 after 0 ms: Could not connect to server", True),
        ("Could not resolve host: idp", True),
        ("Operation timed out after 10000 milliseconds with 0 bytes received", True),
        ('{"error":"invalid_client"}', False),
        ("Server did not provide an error string", False),
        ("<html>Could not resolve host</html>", False),
    ],
)
async def test_a_token_endpoint_that_does_not_respond_has_not_refused_the_credentials(
    reason: str, retriable: bool
) -> None:
    authentication = Authentication()
    port = fail_fast(Port(), authentication)
    report = f"Failed to acquire SASL OAUTHBEARER token: {reason}"
    authentication.on_error(ClientError(ClientError._AUTHENTICATION, report))
    await asyncio.sleep(0)
    expected = RetriableKafkaError if retriable else KafkaAuthenticationFailed
    for call in (port.is_answered, port.waits, port.times_out):
        with pytest.raises(expected) as raised:
            await call()
        assert ("token endpoint" in raised.value.message) is retriable
    with pytest.raises(expected):
        authentication.check(polled=True)


async def test_a_client_that_has_lost_its_token_may_still_have_connections() -> None:
    authentication = Authentication()
    port = fail_fast(Port(), authentication)
    assert await port.is_answered() == "answer"
    authentication.on_error(_NO_TOKEN)
    await asyncio.sleep(0.01)
    authentication.check(polled=True)
    assert await port.is_answered() == "answer"


async def test_a_cancelled_call_stays_cancelled() -> None:
    authentication = Authentication()
    port = fail_fast(Port(), authentication)
    waiting = asyncio.create_task(port.waits())
    await asyncio.sleep(0.01)
    waiting.cancel()
    authentication.on_error(_REFUSED)
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (ClientError(ClientError._SSL), True),
        (
            ClientError(
                ClientError._TRANSPORT, "Receive failed: tlsv13 alert certificate required: SSL alert number 116"
            ),
            True,
        ),
        (ClientError(ClientError._TRANSPORT, "Receive failed: SSL alert number 80"), False),
        (ClientError(ClientError._ALL_BROKERS_DOWN), False),
    ],
)
async def test_errors_that_mean_rejected_credentials(error: ClientError, refused: bool) -> None:
    authentication = Authentication()
    authentication.on_error(error)
    await asyncio.sleep(0)
    assert authentication.refused is refused
