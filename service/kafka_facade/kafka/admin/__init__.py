"""What Kafka has, and changes to it: by librdkafka, and by kafka-python where librdkafka lacks the request."""
