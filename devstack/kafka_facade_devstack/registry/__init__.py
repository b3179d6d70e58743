"""A small Schema Registry endpoint for development and tests; not part of the product.

It speaks the part of the Confluent Schema Registry API that clients use and keeps its state in a compacted `_schemas`
topic, in Confluent's format. It does NOT compare schemas for compatibility (the level is stored and returned, and
every valid schema counts as compatible), parse Protobuf, resolve JSON Schema references, keep metadata or rule sets,
elect a leader among instances, or authenticate callers.
"""

KAFKA_SETTINGS = "KAFKA_FACADE_REGISTRY_KAFKA"
"""Environment variable with the settings of its Kafka client, as a JSON object."""
