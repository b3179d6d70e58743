"""Mapping of the core's field names to those of messages, and of field paths in errors."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

# The message field for a core field, if the message has no field of the same name.
_NAMES = {
    "group": "consumer_group_id",
    "instance": "instance_id",
    "name": "instance_id",
    "topic": "topic_name",
    "topics": "topic_names",
    "partition": "partition_id",
    "partitions": "partition_ids",
    "auto_commit_enable": "auto_commit",
}
_PART = re.compile(r"([^\[]*)((?:\[\d+\])*)")


def field_of(descriptor: Any, name: str) -> FieldDescriptor | None:
    """Return the message field for a core field."""
    fields = descriptor.fields_by_name
    field: FieldDescriptor | None = fields.get(name) or fields.get(_NAMES.get(name, ""))
    return field


def core_names(descriptor: Any, field: FieldDescriptor) -> list[str]:
    """Return the names that the core may use for a message field, the most likely first."""
    others = [name for name, own in _NAMES.items() if own == field.name and name not in descriptor.fields_by_name]
    return [field.name, *others]


def spell(path: str, request: Message | None) -> str:
    """Convert a core field path to the names of a request: ``value.data`` becomes for example ``value.json``.

    Parts that the request does not have are unchanged. If the request is no longer available, ``data`` becomes
    ``json``, because only JSON data can fail then.
    """
    if request is None:
        return re.sub(r"\.data$", ".json", path)
    spelled = []
    here: Any = request
    for part in path.split("."):
        match = _PART.fullmatch(part)
        if here is None or match is None:
            spelled.append(part)
            continue
        name, index = match.groups()
        descriptor = here.DESCRIPTOR
        if name in descriptor.oneofs_by_name:
            name = here.WhichOneof(name) or name
        field = field_of(descriptor, name)
        if field is None:
            spelled.append(part)
            here = None
            continue
        spelled.append(field.name + index)
        here = _value(here, field, index)
    return ".".join(spelled)


def _value(message: Any, field: FieldDescriptor, index: str) -> Message | None:
    value = getattr(message, field.name)
    if index and field.is_repeated:
        position = int(index[1:-1]) if index.count("[") == 1 else -1
        value = value[position] if 0 <= position < len(value) else None
    return value if isinstance(value, Message) else None
