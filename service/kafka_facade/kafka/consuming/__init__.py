"""Consumers, through librdkafka."""
