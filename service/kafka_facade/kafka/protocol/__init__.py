"""Requests of Kafka's protocol that librdkafka doesn't have, through kafka-python."""
