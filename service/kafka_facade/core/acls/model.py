"""Access control lists, and the requests for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from kafka_facade.core.request import MUST_BE_GIVEN, Request


class AclResourceType(str, Enum):
    """What an ACL protects (org.apache.kafka.common.resource.ResourceType); ANY is only valid in filters."""

    UNKNOWN = "UNKNOWN"
    ANY = "ANY"
    TOPIC = "TOPIC"
    GROUP = "GROUP"
    CLUSTER = "CLUSTER"
    TRANSACTIONAL_ID = "TRANSACTIONAL_ID"
    DELEGATION_TOKEN = "DELEGATION_TOKEN"
    USER = "USER"


class AclPatternType(str, Enum):
    """How an ACL's resource name is matched (KIP-290); ANY and MATCH are only valid in filters."""

    UNKNOWN = "UNKNOWN"
    ANY = "ANY"
    MATCH = "MATCH"
    LITERAL = "LITERAL"
    PREFIXED = "PREFIXED"


class AclOperation(str, Enum):
    """The operation of an ACL (org.apache.kafka.common.acl.AclOperation); ANY is only valid in filters."""

    UNKNOWN = "UNKNOWN"
    ANY = "ANY"
    ALL = "ALL"
    READ = "READ"
    WRITE = "WRITE"
    CREATE = "CREATE"
    DELETE = "DELETE"
    ALTER = "ALTER"
    DESCRIBE = "DESCRIBE"
    CLUSTER_ACTION = "CLUSTER_ACTION"
    DESCRIBE_CONFIGS = "DESCRIBE_CONFIGS"
    ALTER_CONFIGS = "ALTER_CONFIGS"
    IDEMPOTENT_WRITE = "IDEMPOTENT_WRITE"
    CREATE_TOKENS = "CREATE_TOKENS"
    DESCRIBE_TOKENS = "DESCRIBE_TOKENS"
    TWO_PHASE_COMMIT = "TWO_PHASE_COMMIT"


class AclPermission(str, Enum):
    """Whether an ACL allows or denies (org.apache.kafka.common.acl.AclPermissionType); ANY is only valid in filters."""

    UNKNOWN = "UNKNOWN"
    ANY = "ANY"
    DENY = "DENY"
    ALLOW = "ALLOW"


@dataclass(slots=True)
class Acl:
    """An entry of the access control lists; UNKNOWN is a value that this version does not know."""

    cluster_id: str
    resource_type: AclResourceType
    resource_name: str
    pattern_type: AclPatternType
    principal: str
    host: str
    operation: AclOperation
    permission: AclPermission


@dataclass(slots=True)
class AclBinding:
    """An ACL without its cluster; UNKNOWN is a type that was not given, or that this version does not know."""

    resource_type: AclResourceType = field(default=AclResourceType.UNKNOWN, metadata=MUST_BE_GIVEN)
    resource_name: str = field(default="", metadata=MUST_BE_GIVEN)
    pattern_type: AclPatternType = field(default=AclPatternType.UNKNOWN, metadata=MUST_BE_GIVEN)
    principal: str = field(default="", metadata=MUST_BE_GIVEN)
    host: str = field(default="", metadata=MUST_BE_GIVEN)
    operation: AclOperation = field(default=AclOperation.UNKNOWN, metadata=MUST_BE_GIVEN)
    permission: AclPermission = field(default=AclPermission.UNKNOWN, metadata=MUST_BE_GIVEN)


@dataclass(slots=True)
class AclFilter:
    """What ACLs have to match; a text that is None matches everything, as ANY does."""

    resource_type: AclResourceType
    resource_name: str | None
    pattern_type: AclPatternType
    principal: str | None
    host: str | None
    operation: AclOperation
    permission: AclPermission


@dataclass(slots=True)
class ListAcls(Request[list[Acl]]):
    """A filter; a text that is None or empty matches everything, as ANY does."""

    cluster_id: str | None
    resource_type: AclResourceType = AclResourceType.ANY
    resource_name: str | None = None
    pattern_type: AclPatternType = AclPatternType.ANY
    principal: str | None = None
    host: str | None = None
    operation: AclOperation = AclOperation.ANY
    permission: AclPermission = AclPermission.ANY


@dataclass(slots=True)
class DeleteAcls(Request[list[Acl]]):
    """The same filter, but with required types; UNKNOWN is one that was not given."""

    cluster_id: str | None
    resource_type: AclResourceType = field(default=AclResourceType.UNKNOWN, metadata=MUST_BE_GIVEN)
    resource_name: str | None = None
    pattern_type: AclPatternType = field(default=AclPatternType.UNKNOWN, metadata=MUST_BE_GIVEN)
    principal: str | None = None
    host: str | None = None
    operation: AclOperation = field(default=AclOperation.UNKNOWN, metadata=MUST_BE_GIVEN)
    permission: AclPermission = field(default=AclPermission.UNKNOWN, metadata=MUST_BE_GIVEN)


@dataclass(slots=True)
class CreateAcl(AclBinding, Request[Acl]):
    """An ACL to create."""

    cluster_id: str | None = field(kw_only=True)


@dataclass(slots=True)
class BatchCreateAcls(Request[list[Acl]]):
    """ACLs to create together."""

    cluster_id: str | None
    data: list[AclBinding]
