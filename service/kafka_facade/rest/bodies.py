"""The JSON bodies of requests, typed, and what is said of those that don't fit.

Types follow the API reference; a member that it doesn't name is an error (422). As in the official proxy, a text that
is a number or a boolean is taken as such, and a setting may be a text, a number or a boolean.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct
from msgspec import field as member

from kafka_facade.core.errors import InvalidPayload, MalformedBody
from kafka_facade.core.json_text import is_json
from kafka_facade.core.resources import (
    AclOperation,
    AclPatternType,
    AclPermission,
    AclResourceType,
    AlterOperation,
    Format,
    SubjectNameStrategy,
)
from kafka_facade.rest.body_errors import explained

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

_OUT_OF_RANGE = "out of range"
_TRUNCATED = "Input data was truncated"

_Body = TypeVar("_Body")


# What JSON decodes to has no cycles: the garbage collector needn't look at it.
class _Strict(Struct, forbid_unknown_fields=True, gc=False):
    pass


class V2Record(_Strict):
    """A record of a v2 produce request. A value that is left out is null, whatever the schema."""

    key: Any = None
    value: Any = UNSET
    partition: Int32 | None = None


class V2Produce(_Strict):
    """A v2 produce request; the schema members matter to formats with schemas only."""

    records: list[V2Record] | None = None
    key_schema: str | None = None
    key_schema_id: Int32 | None = None
    value_schema: str | None = None
    value_schema_id: Int32 | None = None


Setting = str | int | float | bool | None


def setting_text(value: Setting) -> str | None:
    """A setting as text: callers write numbers and booleans too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


class V2CreateConsumer(_Strict):
    """The settings of a consumer instance; ``id``, ``responseMinBytes`` and ``requestWaitMs`` are older names."""

    id: str | None = None
    name: str | None = None
    format: str | None = None
    auto_offset_reset: Setting = member(default=None, name="auto.offset.reset")
    auto_commit_enable: Setting = member(default=None, name="auto.commit.enable")
    fetch_min_bytes: Setting = member(default=None, name="fetch.min.bytes")
    request_timeout_ms: Setting = member(default=None, name="consumer.request.timeout.ms")
    response_min_bytes: Setting = member(default=None, name="responseMinBytes")
    request_wait_ms: Setting = member(default=None, name="requestWaitMs")


class V2Subscription(_Strict):
    """What to subscribe to."""

    topics: list[str] | None = None
    topic_pattern: str | None = None


class V2Partition(_Strict):
    """A partition by name."""

    topic: str
    partition: Int32


class V2Partitions(_Strict):
    """Partitions to assign, to seek in, or to ask for."""

    partitions: list[V2Partition]


class V2Offset(_Strict):
    """An offset in a partition; ``metadata`` is kept with one that is committed."""

    topic: str
    partition: Int32
    offset: Int64
    metadata: str | None = None


class V2Offsets(_Strict):
    """Offsets to commit."""

    offsets: list[V2Offset]


class V2Time(_Strict):
    """A time in a partition: text (RFC 3339) or a number of seconds; ``metadata`` may be there and means nothing."""

    topic: str
    partition: Int32
    timestamp: str | int | float
    metadata: str | None = None


class V2Positions(_Strict):
    """Offsets and times to seek to."""

    offsets: list[V2Offset] | None = None
    timestamps: list[V2Time] | None = None


class V3Config(_Strict):
    """A config of a topic to create."""

    name: str
    value: Setting = None


class V3CreateTopic(_Strict):
    """A topic to create."""

    topic_name: str
    partitions_count: Int32 | None = None
    replication_factor: Int32 | None = None
    replicas_assignments: dict[Int32, list[Int32]] | None = None
    configs: list[V3Config] | None = None
    validate_only: bool | None = None


class V3PartitionCount(_Strict):
    """The number of partitions to have."""

    partitions_count: Int32


class V3ConfigValue(_Strict):
    """The value of a config."""

    value: Setting = None


class V3Alteration(_Strict):
    """One change of a config."""

    name: str
    value: Setting = None
    operation: AlterOperation | None = None


class V3Alterations(_Strict):
    """Changes of configs."""

    data: list[V3Alteration]
    validate_only: bool | None = None


class V3TopicAlterations(_Strict):
    """Changes of the configs of a topic."""

    topic_name: str
    configs: list[V3Alteration]


class V3MultipleAlterations(_Strict):
    """Changes of the configs of several topics."""

    data: list[V3TopicAlterations]
    validate_only: bool | None = None


class V3Header(_Strict):
    """A record header; ``value`` is base64."""

    name: str
    value: bytes | None = None


class V3Data(_Strict):
    """A key or value of a record."""

    type: Format | None = None
    subject: str | None = None
    subject_name_strategy: SubjectNameStrategy | None = None
    schema_id: Int32 | None = None
    schema_version: Int32 | None = None
    schema: str | None = None
    data: Any = msgspec.UNSET


class V3Record(_Strict):
    """One record of a v3 produce stream; ``timestamp`` is text (RFC 3339) or a number of seconds."""

    partition_id: Int32 | None = None
    headers: list[V3Header] | None = None
    key: V3Data | None = None
    value: V3Data | None = None
    timestamp: str | int | float | None = None


class V3BatchEntry(V3Record):
    """A record of a batch; ``id`` is checked by hand, since texts alone are ids."""

    id: Any = msgspec.UNSET


class V3Batch(_Strict):
    """Records with ids."""

    entries: list[V3BatchEntry] | None = None


class V3Acl(_Strict):
    """An ACL to create."""

    resource_type: AclResourceType
    resource_name: str
    pattern_type: AclPatternType
    principal: str
    host: str
    operation: AclOperation
    permission: AclPermission


class V3Acls(_Strict):
    """ACLs to create."""

    data: list[V3Acl] | None = None


def _verbatim(literal: str) -> msgspec.Raw:
    return msgspec.Raw(literal.encode())


class BodyDecoder(Generic[_Body]):
    """Decodes bodies of one type; its errors are what the caller is told."""

    def __init__(self, type_: type[_Body]) -> None:
        self._type = type_
        self._decoder = msgspec.json.Decoder(type_, strict=False)
        # JSON bounds no number, floats do: where one doesn't fit, data keeps its numbers as they were written.
        self._exact = msgspec.json.Decoder(type_, strict=False, float_hook=_verbatim)

    def decode(self, body: bytes) -> _Body:
        """The body; MalformedBody, UnprocessableEntity for a member that doesn't exist."""
        try:
            try:
                return self._decoder.decode(body)
            except msgspec.ValidationError as error:
                if _OUT_OF_RANGE not in str(error):
                    raise
                return self._exact.decode(body)
        except msgspec.ValidationError as error:
            raise explained(str(error), self._type, body) from None
        except msgspec.DecodeError as error:
            if is_json(body):
                raise MalformedBody("An escape sequence in a string is half of a surrogate pair.") from None
            text = "Unexpected end of input: the JSON is incomplete" if str(error) == _TRUNCATED else str(error)
            raise MalformedBody(f"{text}.") from None
        except UnicodeDecodeError:
            raise MalformedBody("The body isn't UTF-8.") from None

    def required(self, body: bytes) -> _Body:
        """The body of a v3 request, which must be there; InvalidPayload where it isn't."""
        if is_blank(body):
            raise InvalidPayload
        return self.decode(body)

    def optional(self, body: bytes) -> _Body | None:
        """The body, or None where it is empty or null."""
        return None if is_blank(body) else self.decode(body)


_plain = msgspec.json.Decoder(float_hook=float)


def is_blank(body: bytes) -> bool:
    """Whether a body is empty, or null, which says the same."""
    return len(body) < 64 and body.strip() in (b"", b"null")


def plain_data(data: object) -> object:
    """Data without verbatim numbers, for formats that aren't JSON."""
    return _plain.decode(msgspec.json.encode(data))
