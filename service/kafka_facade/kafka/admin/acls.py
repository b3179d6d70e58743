"""Access control lists, through librdkafka's admin client and the protocol client.

librdkafka does not support delegation tokens, users, or the operations on them, and it loses the error of a failed
listing. :mod:`kafka_facade.kafka.admin.clients` decides which client is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, Final, TypeVar

from confluent_kafka import admin as client

from kafka_facade.core.acls.model import (
    AclBinding,
    AclFilter,
    AclOperation,
    AclPatternType,
    AclPermission,
    AclResourceType,
)
from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest
from kafka_facade.core.time_slices import in_slices
from kafka_facade.kafka.admin import clients
from kafka_facade.kafka.admin.clients import Client
from kafka_facade.kafka.admin.visibility import looks
from kafka_facade.kafka.blocking import positive, settled
from kafka_facade.kafka.errors import from_code, from_exception
from kafka_facade.kafka.protocol.client import ProtocolClient

# The core's enums are in the order of Kafka's codes.
_RESOURCE_TYPES: Final = tuple(AclResourceType)
_PATTERN_TYPES: Final = tuple(AclPatternType)
_OPERATIONS: Final = tuple(AclOperation)
_PERMISSIONS: Final = tuple(AclPermission)

_CLIENT_RESOURCE_TYPES: Final = frozenset(entry.value for entry in client.ResourceType)
_CLIENT_OPERATIONS: Final = frozenset(entry.value for entry in client.AclOperation)
# The version of the three ACL requests that supports the resource type USER.
_USER_VERSION: Final = 3
# How long (s) to wait for a change to become visible.
_VISIBLE_SECONDS: Final = 5.0


_Value = TypeVar("_Value", bound=Enum)

_values = attrgetter("resource_type", "resource_name", "pattern_type", "principal", "host", "operation", "permission")


@contextlib.contextmanager
def _translating() -> Iterator[None]:
    """Convert errors that the client raises immediately to the core's."""
    try:
        yield
    except Exception as error:
        raise from_exception(error) from error


class Acls:
    """The ACL port over one cluster."""

    def __init__(self, admin: client.AdminClient, protocol: ProtocolClient) -> None:
        self._admin = admin
        self._protocol = protocol

    async def list_acls(self, wanted: AclFilter, timeout: float) -> list[AclBinding]:
        """The ACLs that match."""
        if clients.lists_acls(self._protocol, nameable=_is_nameable(wanted)) is Client.LIBRDKAFKA:
            with _translating():
                future = self._admin.describe_acls(_client_filter(wanted), request_timeout=positive(timeout))
            return await in_slices(_from_client, await settled(future, timeout))
        answer = await self._protocol.send(
            lambda messages: messages.DescribeAclsRequest(**_filter_codes(wanted), min_version=_USER_VERSION), timeout
        )
        if answer.error_code:
            raise from_code(answer.error_code, answer.error_message)
        found = ((resource, entry) for resource in answer.resources for entry in resource.acls)
        return await in_slices(_from_wire, found)

    async def create_acls(self, bindings: Sequence[AclBinding], timeout: float) -> None:
        """Create ACLs and wait until they are visible. Raises the first error after all are done."""
        deadline = time.monotonic() + timeout
        if clients.changes_acls(nameable=all(map(_is_nameable, bindings))) is Client.LIBRDKAFKA:
            outcomes = await self._create_through_client(bindings, timeout)
        else:
            outcomes = await self._create_through_protocol(bindings, timeout)
        refused = next((outcome for outcome in outcomes if outcome is not None), None)
        if refused is not None:
            raise refused
        # All ACLs become visible together, so checking the last one is enough.
        await self._until_shown(bindings[-1], deadline)

    async def delete_acls(self, wanted: AclFilter, timeout: float) -> list[AclBinding]:
        """Delete the ACLs that match, wait until they are gone, and return them."""
        deadline = time.monotonic() + timeout
        # librdkafka would also delete ACLs that it does not support, and could not return them.
        before = await self.list_acls(wanted, timeout)
        left = max(0.0, deadline - time.monotonic())
        nameable = _is_nameable(wanted) and all(map(_is_nameable, before))
        if clients.changes_acls(nameable=nameable) is Client.LIBRDKAFKA:
            with _translating():
                futures = self._admin.delete_acls([_client_filter(wanted)], request_timeout=positive(left))
            [future] = futures.values()
            deleted = await in_slices(_from_client, await settled(future, left))
        else:
            deleted = await self._delete_through_protocol(wanted, left)
        if deleted:
            await self._until_gone(wanted, deleted, deadline)
        return deleted

    async def _create_through_client(self, bindings: Sequence[AclBinding], timeout: float) -> list[FacadeError | None]:
        with _translating():
            unique = list(dict.fromkeys(map(_client_binding, bindings)))
            futures = self._admin.create_acls(unique, request_timeout=positive(timeout))
        outcomes = await asyncio.gather(*(settled(futures[entry], timeout) for entry in unique), return_exceptions=True)
        return [None if outcome is None else from_exception(outcome) for outcome in outcomes]

    async def _create_through_protocol(
        self, bindings: Sequence[AclBinding], timeout: float
    ) -> list[FacadeError | None]:
        def build(messages: Any) -> Any:
            creations = [
                messages.CreateAclsRequest.AclCreation(
                    resource_type=_RESOURCE_TYPES.index(binding.resource_type),
                    resource_name=binding.resource_name,
                    resource_pattern_type=_PATTERN_TYPES.index(binding.pattern_type),
                    principal=binding.principal,
                    host=binding.host,
                    operation=_OPERATIONS.index(binding.operation),
                    permission_type=_PERMISSIONS.index(binding.permission),
                )
                for binding in bindings
            ]
            return messages.CreateAclsRequest(creations=creations, min_version=_USER_VERSION)

        answer = await self._protocol.send(build, timeout)
        return [
            from_code(result.error_code, result.error_message) if result.error_code else None
            for result in answer.results
        ]

    async def _delete_through_protocol(self, wanted: AclFilter, timeout: float) -> list[AclBinding]:
        def build(messages: Any) -> Any:
            one = messages.DeleteAclsRequest.DeleteAclsFilter(**_filter_codes(wanted))
            return messages.DeleteAclsRequest(filters=[one], min_version=_USER_VERSION)

        # Do not retry: a second response would not contain what the first request deleted.
        answer = await self._protocol.send(build, timeout, again=False)
        [result] = answer.filter_results
        if result.error_code:
            raise from_code(result.error_code, result.error_message)
        return await in_slices(_from_wire, ((entry, entry) for entry in result.matching_acls if not entry.error_code))

    async def _until_shown(self, binding: AclBinding, deadline: float) -> None:
        """Wait until the ACL is visible to callers."""
        exact = AclFilter(*_values(binding))
        await self._until(exact, lambda found: binding in found, deadline)

    async def _until_gone(self, wanted: AclFilter, deleted: Sequence[AclBinding], deadline: float) -> None:
        gone = set(map(_values, deleted))
        await self._until(wanted, lambda found: gone.isdisjoint(map(_values, found)), deadline)

    async def _until(self, wanted: AclFilter, shows: Callable[[list[AclBinding]], bool], deadline: float) -> None:
        """Wait until a change is visible; if it cannot be checked, for example for lack of rights, return anyway."""
        with contextlib.suppress(FacadeError):
            async for left in looks(min(deadline, time.monotonic() + _VISIBLE_SECONDS)):
                if shows(await self.list_acls(wanted, left)):
                    return


def _is_nameable(given: AclFilter | AclBinding) -> bool:
    """Return whether librdkafka supports the ACL or filter."""
    return (
        _RESOURCE_TYPES.index(given.resource_type) in _CLIENT_RESOURCE_TYPES
        and _OPERATIONS.index(given.operation) in _CLIENT_OPERATIONS
    )


def _client_filter(wanted: AclFilter) -> client.AclBindingFilter:
    return client.AclBindingFilter(*_client_values(wanted))


def _client_binding(binding: AclBinding) -> client.AclBinding:
    return client.AclBinding(*_client_values(binding))


def _refuse_nul(given: AclFilter | AclBinding) -> None:
    # librdkafka truncates text at a NUL character.
    if any("\0" in (text or "") for text in (given.resource_name, given.principal, given.host)):
        raise InvalidKafkaRequest("A name in an ACL cannot hold the character U+0000.")


def _client_values(given: AclFilter | AclBinding) -> tuple[Any, ...]:
    _refuse_nul(given)
    return (
        client.ResourceType(_RESOURCE_TYPES.index(given.resource_type)),
        given.resource_name,
        client.ResourcePatternType(_PATTERN_TYPES.index(given.pattern_type)),
        given.principal,
        given.host,
        client.AclOperation(_OPERATIONS.index(given.operation)),
        client.AclPermissionType(_PERMISSIONS.index(given.permission)),
    )


def _from_client(entry: Any) -> AclBinding:
    return AclBinding(
        _named(_RESOURCE_TYPES, entry.restype.value),
        entry.name,
        _named(_PATTERN_TYPES, entry.resource_pattern_type.value),
        entry.principal,
        entry.host,
        _named(_OPERATIONS, entry.operation.value),
        _named(_PERMISSIONS, entry.permission_type.value),
    )


def _filter_codes(wanted: AclFilter) -> dict[str, Any]:
    _refuse_nul(wanted)
    return {
        "resource_type_filter": _RESOURCE_TYPES.index(wanted.resource_type),
        "resource_name_filter": wanted.resource_name,
        "pattern_type_filter": _PATTERN_TYPES.index(wanted.pattern_type),
        "principal_filter": wanted.principal,
        "host_filter": wanted.host,
        "operation": _OPERATIONS.index(wanted.operation),
        "permission_type": _PERMISSIONS.index(wanted.permission),
    }


def _from_wire(found: tuple[Any, Any]) -> AclBinding:
    """Convert an ACL in a response, given as a resource and one of its entries."""
    resource, entry = found
    return AclBinding(
        _named(_RESOURCE_TYPES, resource.resource_type),
        resource.resource_name,
        _named(_PATTERN_TYPES, resource.pattern_type),
        entry.principal,
        entry.host,
        _named(_OPERATIONS, entry.operation),
        _named(_PERMISSIONS, entry.permission_type),
    )


def _named(values: tuple[_Value, ...], code: int) -> _Value:
    """Return the enum value of a Kafka code; UNKNOWN for codes that this version does not know."""
    return values[code] if 0 <= code < len(values) else values[0]
