"""Administration of Kafka through librdkafka, and through kafka-python for requests that librdkafka lacks."""
