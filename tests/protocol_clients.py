"""What tests make protocol clients with, and what they see of them."""

import threading
from collections.abc import Callable
from typing import Any

from kafka_facade.kafka.protocol.client import ProtocolClient

MakeProtocol = Callable[[dict[str, Any]], ProtocolClient]
ProtocolThreads = Callable[[], set[threading.Thread]]
