"""Construction and inspection of protocol clients."""

import threading
from collections.abc import Callable
from typing import Any

from kafka_facade.kafka.protocol.client import ProtocolClient

MakeProtocol = Callable[[dict[str, Any]], ProtocolClient]
ProtocolThreads = Callable[[], set[threading.Thread]]
