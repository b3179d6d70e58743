"""What becomes of calls when Kafka refuses the credentials of their client."""

import asyncio
import time

import pytest
from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.errors import KafkaAuthenticationFailed, KafkaTimeout
from kafka_facade.kafka.authentication import Authentication, fail_fast

_REFUSED = ClientError(ClientError._AUTHENTICATION)


class Port:
    """Calls that wait for Kafka, are answered, time out, or need no answer."""

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


async def test_an_answer_ends_it() -> None:
    authentication = Authentication()
    port = fail_fast(Port(), authentication)
    authentication.on_error(_REFUSED)
    await asyncio.sleep(0)
    assert authentication.refused
    authentication.answered()
    assert await port.is_answered() == "answer"


async def test_what_is_known_without_kafka_is_no_answer() -> None:
    authentication = Authentication()
    port = fail_fast(Port(), authentication)
    assert await port.knows() == "known"
    authentication.on_error(_REFUSED)
    await asyncio.sleep(0)
    assert authentication.refused


async def test_one_broker_of_several_that_refuses_fails_no_other_call() -> None:
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
async def test_which_errors_are_refusals(error: ClientError, refused: bool) -> None:
    authentication = Authentication()
    authentication.on_error(error)
    await asyncio.sleep(0)
    assert authentication.refused is refused
