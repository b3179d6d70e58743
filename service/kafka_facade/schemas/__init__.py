"""The Schema Registry client and the codecs for Avro, JSON Schema and Protobuf."""

from kafka_facade.schemas.late_authlib import import_registry_client

import_registry_client()
