"""What tests make protocol clients with."""

from collections.abc import Callable
from typing import Any

from kafka_facade.kafka.protocol.client import ProtocolClient

MakeProtocol = Callable[[dict[str, Any]], ProtocolClient]
