"""Options of the state of the gateway."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kafka_facade.settings.declaration import setting

# Kafka's rule for topics, which is stricter than those for groups and transactional ids.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


def _topic_name(text: str) -> str:
    if not _NAME.fullmatch(text) or text in (".", ".."):
        raise ValueError("the name of a topic: up to 249 letters, digits, dots, underscores and hyphens")
    return text


DEFAULT_TOPIC: Final = "_kafka_facade_state"


@dataclass(frozen=True, slots=True)
class StateOptions:
    """State of the gateway."""

    topic: str = setting("state.topic", DEFAULT_TOPIC, _topic_name)
    """Topic in which the gateways of a cluster keep state, such as broker replica exclusions. It is created at the
    first change. The consumer group and the transactional id of the elected writer have the same name."""
