"""Kafka protocol requests that librdkafka does not support, through kafka-python."""
