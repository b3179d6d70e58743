"""Access control lists (reference: "ACL (v3)"; KIP-140, KIP-290)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import Enum
from functools import partial

from kafka_facade.core import limits
from kafka_facade.core.acls.model import (
    Acl,
    AclBinding,
    AclFilter,
    BatchCreateAcls,
    CreateAcl,
    DeleteAcls,
    ListAcls,
)
from kafka_facade.core.acls.order import order
from kafka_facade.core.call import Call
from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.kafka_text import check_text
from kafka_facade.core.registry import implements
from kafka_facade.core.time_slices import in_slices, sorted_in_slices

_FILTER_ONLY = ("UNKNOWN", "ANY", "MATCH")


class Acls:
    """Operations on the access control lists of the cluster."""

    @implements("api.v3.acls.list")
    async def list_acls(self, call: Call, request: ListAcls) -> list[Acl]:
        """The ACLs that match, ordered by :func:`order`; InvalidRequest for a type that is UNKNOWN."""
        _require_known(request, "UNKNOWN")
        _check_texts(request)
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        return await _listed(cluster_id, await call.kafka.acls.list_acls(_filter(request), call.remaining))

    @implements("api.v3.acls.create")
    async def create_acl(self, call: Call, request: CreateAcl) -> Acl:
        """Create an ACL; InvalidRequest, InvalidKafkaRequest. One that exists already is no error."""
        binding = AclBinding(**{name: value for name, value in asdict(request).items() if name != "cluster_id"})
        _require_concrete(binding)
        _check_texts(binding)
        [created] = await self.create_acls(call, BatchCreateAcls(request.cluster_id, [binding]))
        return created

    @implements("api.v3.acls.batch-create")
    async def create_acls(self, call: Call, request: BatchCreateAcls) -> list[Acl]:
        """Create several ACLs, and return them in order; InvalidRequest before any is created.

        InvalidKafkaRequest is the first that Kafka rejects; the others are created then.
        """
        limits.check_length(request.data, limits.ACLS, "data")
        for index, binding in enumerate(request.data):
            _require_concrete(binding, f"data[{index}].")
            _check_texts(binding, f"data[{index}].")
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        if request.data:
            await call.kafka.acls.create_acls(request.data, call.remaining)
        return [_acl(cluster_id, binding) for binding in request.data]

    @implements("api.v3.acls.delete")
    async def delete_acls(self, call: Call, request: DeleteAcls) -> list[Acl]:
        """Delete the ACLs that match, and return them; InvalidRequest where a type is left out or UNKNOWN."""
        _require_known(request, "unspecified or UNKNOWN")
        _check_texts(request)
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        return await _listed(cluster_id, await call.kafka.acls.delete_acls(_filter(request), call.remaining))


async def _listed(cluster_id: str, found: Sequence[AclBinding]) -> list[Acl]:
    return await sorted_in_slices(await in_slices(partial(_acl, cluster_id), found), order)


def _acl(cluster_id: str, binding: AclBinding) -> Acl:
    return Acl(
        cluster_id,
        binding.resource_type,
        binding.resource_name,
        binding.pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission,
    )


def _filter(request: ListAcls | DeleteAcls) -> AclFilter:
    """The filter with None where a text is empty."""
    return AclFilter(
        request.resource_type,
        request.resource_name or None,
        request.pattern_type,
        request.principal or None,
        request.host or None,
        request.operation,
        request.permission,
    )


def _types(request: ListAcls | DeleteAcls | AclBinding) -> dict[str, Enum]:
    return {
        "resource_type": request.resource_type,
        "pattern_type": request.pattern_type,
        "operation": request.operation,
        "permission": request.permission,
    }


def _require_known(request: ListAcls | DeleteAcls, refused: str) -> None:
    for name, value in _types(request).items():
        if value.value == "UNKNOWN":
            raise InvalidRequest(f"{name} cannot be {refused}", field=name)


def _require_concrete(binding: AclBinding, place: str = "") -> None:
    for name, value in _types(binding).items():
        if value.value in _FILTER_ONLY:
            raise InvalidRequest(f"{name} cannot be {value.value}", field=f"{place}{name}")


def _check_texts(request: ListAcls | DeleteAcls | AclBinding, place: str = "") -> None:
    for name, text in (
        ("resource_name", request.resource_name),
        ("principal", request.principal),
        ("host", request.host),
    ):
        check_text(text, f"{place}{name}")
