"""ACLs in the graph, and the mutations that create and delete them."""

from __future__ import annotations

from typing import Annotated

import strawberry

from kafka_facade.core.acls import model as core_acls
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import argument, field
from kafka_facade_graphql.resource import resource

AclResourceType = strawberry.enum(
    core_acls.AclResourceType,
    description="What an ACL protects; ANY is for filters, UNKNOWN for what is newer than this.",
)
AclPatternType = strawberry.enum(
    core_acls.AclPatternType,
    description="How an ACL's resource name is matched (KIP-290); ANY and MATCH are for filters.",
)
AclOperation = strawberry.enum(core_acls.AclOperation, description="What an ACL speaks of; ANY is for filters.")
AclPermission = strawberry.enum(core_acls.AclPermission, description="What an ACL says; ANY is for filters.")

MatchedResourceType = Annotated[core_acls.AclResourceType, strawberry.argument(description="The type of the resource.")]
MatchedResourceName = Annotated[str | None, strawberry.argument(description="The name of the resource.")]
MatchedPatternType = Annotated[core_acls.AclPatternType, strawberry.argument(description="How the name is matched.")]
MatchedPrincipal = Annotated[str | None, strawberry.argument(description="The principal, e.g. User:alice.")]
MatchedHost = Annotated[str | None, strawberry.argument(description="The host.")]
MatchedOperation = Annotated[core_acls.AclOperation, strawberry.argument(description="The operation.")]
MatchedPermission = Annotated[
    core_acls.AclPermission, strawberry.argument(description="Whether it is allowed or denied.")
]

_SHOWN = {
    "resource_type": "The type of the resource.",
    "resource_name": "The name of the resource.",
    "pattern_type": "How the name is matched.",
    "principal": "The principal, e.g. User:alice.",
    "host": "The host that it may come from; * is any.",
    "operation": "The operation.",
    "permission": "Whether it is allowed or denied.",
}


@resource(description="An entry of the access control lists.", fields=_SHOWN)
class Acl(core_acls.Acl):
    """An ACL."""


@strawberry.input(description="An ACL to create.")
class AclInput:
    """An ACL without its cluster."""

    resource_type: AclResourceType = strawberry.field(  # type: ignore[valid-type]
        description=_SHOWN["resource_type"]
    )
    resource_name: str = strawberry.field(description=_SHOWN["resource_name"])
    pattern_type: AclPatternType = strawberry.field(description=_SHOWN["pattern_type"])  # type: ignore[valid-type]
    principal: str = strawberry.field(description=_SHOWN["principal"])
    host: str = strawberry.field(description=_SHOWN["host"])
    operation: AclOperation = strawberry.field(description=_SHOWN["operation"])  # type: ignore[valid-type]
    permission: AclPermission = strawberry.field(description=_SHOWN["permission"])  # type: ignore[valid-type]


@strawberry.input(description="The ACL to create.")
class CreateAclInput(AclInput):
    """Input of createAcl."""

    cluster_id: strawberry.ID = strawberry.field(description="The cluster's id in Kafka.")


@strawberry.input(description="The ACLs to create.")
class CreateAclsInput:
    """Input of createAcls."""

    cluster_id: strawberry.ID = strawberry.field(description="The cluster's id in Kafka.")
    acls: list[AclInput] = strawberry.field(description="The ACLs.")


@strawberry.input(description="Which ACLs to delete: what is left out matches everything.")
class DeleteAclsInput:
    """Input of deleteAcls."""

    cluster_id: strawberry.ID = strawberry.field(description="The cluster's id in Kafka.")
    resource_type: AclResourceType = strawberry.field(  # type: ignore[valid-type]
        description="The type of the resource, or ANY."
    )
    resource_name: str | None = strawberry.field(default=None, description=_SHOWN["resource_name"])
    pattern_type: AclPatternType = strawberry.field(  # type: ignore[valid-type]
        description="How the name is matched, or ANY; MATCH finds every pattern that covers the name."
    )
    principal: str | None = strawberry.field(default=None, description=_SHOWN["principal"])
    host: str | None = strawberry.field(default=None, description=_SHOWN["host"])
    operation: AclOperation = strawberry.field(description="The operation, or ANY.")  # type: ignore[valid-type]
    permission: AclPermission = strawberry.field(  # type: ignore[valid-type]
        description="Whether it is allowed or denied, or ANY."
    )


@strawberry.type(description="The ACL that was created.")
class CreateAclPayload:
    """Answer of createAcl."""

    created: strawberry.Private[core_acls.Acl]

    @field(description="The ACL.", graphql_type=Acl)
    def acl(self) -> core_acls.Acl:
        return self.created


@strawberry.type(description="The ACLs that a mutation has touched.")
class AclsPayload:
    """ACLs after they were written."""

    touched: strawberry.Private[list[core_acls.Acl]]

    @field(description="The ACLs.", graphql_type=list[Acl])
    def acls(self) -> list[core_acls.Acl]:
        return self.touched


@strawberry.type(description="The ACLs that were created.")
class CreateAclsPayload(AclsPayload):
    """Answer of createAcls."""


@strawberry.type(description="The ACLs that were deleted.")
class DeleteAclsPayload(AclsPayload):
    """Answer of deleteAcls."""


def _binding(given: AclInput) -> core_acls.AclBinding:
    return core_acls.AclBinding(
        given.resource_type,
        given.resource_name,
        given.pattern_type,
        given.principal,
        given.host,
        given.operation,
        given.permission,
    )


@strawberry.type
class AclMutations:
    """The mutations of ACLs; a part of the mutation root."""

    @field(description="Create an ACL; one that exists already is no error.")
    async def create_acl(
        self, info: Info, input: Annotated[CreateAclInput, argument("The ACL to create.")]
    ) -> CreateAclPayload | None:
        context = info.context
        request = core_acls.CreateAcl(
            input.resource_type,
            input.resource_name,
            input.pattern_type,
            input.principal,
            input.host,
            input.operation,
            input.permission,
            cluster_id=input.cluster_id,
        )
        return CreateAclPayload(created=await context.change("api.v3.acls.create", request))

    @field(description="Create several ACLs; where Kafka refuses one, the others are created all the same.")
    async def create_acls(
        self, info: Info, input: Annotated[CreateAclsInput, argument("The ACLs to create.")]
    ) -> CreateAclsPayload | None:
        context = info.context
        request = core_acls.BatchCreateAcls(input.cluster_id, [_binding(entry) for entry in input.acls])
        return CreateAclsPayload(touched=await context.change("api.v3.acls.batch-create", request))

    @field(description="Delete the ACLs that match.")
    async def delete_acls(
        self, info: Info, input: Annotated[DeleteAclsInput, argument("Which ACLs to delete.")]
    ) -> DeleteAclsPayload | None:
        context = info.context
        request = core_acls.DeleteAcls(
            input.cluster_id,
            input.resource_type,
            input.resource_name,
            input.pattern_type,
            input.principal,
            input.host,
            input.operation,
            input.permission,
        )
        return DeleteAclsPayload(touched=await context.change("api.v3.acls.delete", request))
