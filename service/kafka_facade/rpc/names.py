"""The names that messages have for the core's fields, and the paths of fields in errors."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

# Where a message lacks a field of the core's name, it has it under this one.
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
    """The field of a message that stands for the core's field of that name."""
    fields = descriptor.fields_by_name
    field: FieldDescriptor | None = fields.get(name) or fields.get(_NAMES.get(name, ""))
    return field


def core_names(descriptor: Any, field: FieldDescriptor) -> list[str]:
    """The names that the core may have for a field, the likeliest first."""
    others = [name for name, own in _NAMES.items() if own == field.name and name not in descriptor.fields_by_name]
    return [field.name, *others]


def spell(path: str, request: Message | None) -> str:
    """The path of a field to blame as this request has it: the core's ``value.data`` is ``value.json`` or the like.

    What isn't found in the request stays as it is. Of a request that isn't kept any more, data that can't be stored was
    JSON.
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
