"""Settings of the gateway's own Kafka clients."""
