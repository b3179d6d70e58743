"""Schemas of records, and the registry that keeps them."""

from kafka_facade.schemas.late_authlib import import_registry_client

import_registry_client()
