"""Settings of Kafka clients as people have them, as the clients take them."""
