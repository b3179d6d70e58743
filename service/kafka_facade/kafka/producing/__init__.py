"""Producing, through librdkafka."""
