"""ACLs in the graph, and the mutations that create and delete them."""

from __future__ import annotations

from typing import Annotated, Final

import strawberry

from kafka_facade.core.acls import model as core_acls
from kafka_facade_graphql.inputs import Given, derive_input
from kafka_facade_graphql.mutations import Mutation, written
from kafka_facade_graphql.resource import resource

AclResourceType = strawberry.enum(
    core_acls.AclResourceType,
    description="The resource type of an ACL; ANY is for filters, UNKNOWN for types that this version does not know.",
)
AclPatternType = strawberry.enum(
    core_acls.AclPatternType,
    description="How an ACL's resource name is matched (KIP-290); ANY and MATCH are for filters.",
)
AclOperation = strawberry.enum(core_acls.AclOperation, description="The operation of an ACL; ANY is for filters.")
AclPermission = strawberry.enum(core_acls.AclPermission, description="The permission of an ACL; ANY is for filters.")

MatchedResourceType = Annotated[core_acls.AclResourceType, strawberry.argument(description="The type of the resource.")]
MatchedResourceName = Annotated[str | None, strawberry.argument(description="The name of the resource.")]
MatchedPatternType = Annotated[core_acls.AclPatternType, strawberry.argument(description="How the name is matched.")]
MatchedPrincipal = Annotated[str | None, strawberry.argument(description="The principal, such as User:alice.")]
MatchedHost = Annotated[str | None, strawberry.argument(description="The host.")]
MatchedOperation = Annotated[core_acls.AclOperation, strawberry.argument(description="The operation.")]
MatchedPermission = Annotated[
    core_acls.AclPermission, strawberry.argument(description="The permission: allowed or denied.")
]

_SHOWN: Final = {
    "resource_type": "The type of the resource.",
    "resource_name": "The name of the resource.",
    "pattern_type": "How the name is matched.",
    "principal": "The principal, such as User:alice.",
    "host": "The host, or * for all.",
    "operation": "The operation.",
    "permission": "The permission: allowed or denied.",
}


@resource(description="An entry of the access control lists.", fields=_SHOWN)
class Acl(core_acls.Acl):
    """An ACL."""


_BINDING: Final = derive_input(core_acls.AclBinding, "AclInput", "An ACL to create.", {**_SHOWN})
_ACLS: Final = written("acls", list[Acl], "The ACLs.")

MUTATIONS: Final = (
    Mutation(
        "api.v3.acls.create",
        core_acls.CreateAcl,
        description="Create an ACL; succeeds if it already exists.",
        argument="The ACL to create.",
        input="The ACL to create.",
        fields={**_SHOWN},
        payload="The ACL that was created.",
        shows=(written("acl", Acl, "The ACL."),),
    ),
    Mutation(
        "api.v3.acls.batch-create",
        core_acls.BatchCreateAcls,
        description="Create several ACLs; if Kafka rejects one, the others are still created.",
        argument="The ACLs to create.",
        input="The ACLs to create.",
        fields={"data": Given("The ACLs.", name="acls", of=_BINDING)},
        payload="The ACLs that were created.",
        shows=(_ACLS,),
    ),
    Mutation(
        "api.v3.acls.delete",
        core_acls.DeleteAcls,
        description="Delete the ACLs that match.",
        argument="Which ACLs to delete.",
        input="Which ACLs to delete: absent fields match everything.",
        fields={
            **_SHOWN,
            "resource_type": "The type of the resource, or ANY.",
            "pattern_type": "How the name is matched, or ANY; MATCH finds all patterns that match the name.",
            "operation": "The operation, or ANY.",
            "permission": "The permission: allowed or denied, or ANY.",
        },
        payload="The ACLs that were deleted.",
        shows=(_ACLS,),
    ),
)
