"""The sort order of ACLs."""

from __future__ import annotations

from kafka_facade.core.acls.model import Acl, AclOperation, AclPatternType, AclPermission, AclResourceType

_RESOURCE_TYPES = {value: place for place, value in enumerate(AclResourceType)}
_PATTERN_TYPES = {value: place for place, value in enumerate(AclPatternType)}
_OPERATIONS = {value: place for place, value in enumerate(AclOperation)}
_PERMISSIONS = {value: place for place, value in enumerate(AclPermission)}


def order(acl: Acl) -> list[int | str]:
    """The sort key of an ACL, as a JSON value: resource, pattern, principal, host, operation, permission."""
    return [
        _RESOURCE_TYPES[acl.resource_type],
        acl.resource_name,
        _PATTERN_TYPES[acl.pattern_type],
        acl.principal,
        acl.host,
        _OPERATIONS[acl.operation],
        _PERMISSIONS[acl.permission],
    ]
