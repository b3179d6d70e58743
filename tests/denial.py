"""Kafka ACLs for the duration of a test: rights that are denied, or allowed to one principal only."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from kafka_facade_devstack.background import BackgroundStack

CLUSTER = (ResourceType.BROKER, "kafka-cluster")
_SECONDS = 20

Right = tuple[ResourceType, str, AclOperation]


@asynccontextmanager
async def denied(stack: BackgroundStack, *rights: Right, principal: str = "User:ANONYMOUS") -> AsyncIterator[None]:
    """Deny rights of one broker's stack while the block lasts.

    A broker learns of ACLs a moment after they are created or deleted: this waits until it has.
    """
    async with _ruled(stack, rights, principal, AclPermissionType.DENY):
        yield


@asynccontextmanager
async def allowed(stack: BackgroundStack, *rights: Right, principal: str) -> AsyncIterator[None]:
    """Allow rights on one broker's stack during the block; other principals have no rights on these resources."""
    async with _ruled(stack, rights, principal, AclPermissionType.ALLOW):
        yield


@asynccontextmanager
async def _ruled(
    stack: BackgroundStack, rights: Sequence[Right], principal: str, permission: AclPermissionType
) -> AsyncIterator[None]:
    admin = AdminClient(dict(stack.super_user))
    patterns = [
        (kind, name, ResourcePatternType.LITERAL, principal, "*", operation, permission)
        for kind, name, operation in rights
    ]
    filters = [AclBindingFilter(*pattern) for pattern in patterns]
    try:
        acls = [AclBinding(*pattern) for pattern in patterns]
        await asyncio.gather(*map(asyncio.wrap_future, admin.create_acls(acls).values()))
        await _until_seen(admin, filters, 1)
        yield
    finally:
        await asyncio.gather(*map(asyncio.wrap_future, admin.delete_acls(filters).values()))
        await _until_seen(admin, filters, 0)


async def _until_seen(admin: AdminClient, filters: Sequence[AclBindingFilter], count: int) -> None:
    async with asyncio.timeout(_SECONDS):
        for wanted in filters:
            while len(await asyncio.wrap_future(admin.describe_acls(wanted))) != count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
