"""The interface to a Kafka client that ACL operations need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kafka_facade.core.acls.model import AclBinding, AclFilter


class AclPort(Protocol):
    """The access control lists of one cluster."""

    async def list_acls(self, wanted: AclFilter, timeout: float) -> list[AclBinding]:
        """The ACLs that match."""

    async def create_acls(self, bindings: Sequence[AclBinding], timeout: float) -> None:
        """Create ACLs and wait until they are visible. Raises the first error after all are done."""

    async def delete_acls(self, wanted: AclFilter, timeout: float) -> list[AclBinding]:
        """Delete the ACLs that match, wait until they are gone, and return them."""
