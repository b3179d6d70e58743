"""The Java client's settings, for librdkafka."""

from kafka_facade.kafka.client_config import rejected, translate


def test_translation() -> None:
    assert translate(
        {
            "security.protocol": "SASL_SSL",
            "sasl.jaas.config": "org.apache.kafka.PlainLoginModule required username='ann' password=\"s=cret\";",
            "max.request.size": "2097152",
            "buffer.memory": "33554432",
        }
    ) == {
        "security.protocol": "SASL_SSL",
        "sasl.username": "ann",
        "sasl.password": "s=cret",
        "message.max.bytes": "2097152",
        "queue.buffering.max.kbytes": "32768",
    }


def test_an_unknown_name_and_a_bad_value_are_told_apart() -> None:
    problems = {entry.name: entry for entry in rejected("producer", {"bogus": "1", "linger.ms": "x", "acks": "all"})}
    assert set(problems) == {"bogus", "linger.ms"}
    assert not problems["bogus"].known
    assert problems["linger.ms"].known


def test_consumer_settings() -> None:
    assert rejected("consumer", {"session.timeout.ms": "10000", "isolation.level": "read_committed"}) == []
