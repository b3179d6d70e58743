"""Errors of single items of a mutation, which are part of the payload instead of errors of the request."""

from __future__ import annotations

import strawberry

from kafka_facade.core.errors import FacadeError
from kafka_facade_graphql.errors import extensions_of, field_path, message_of


@strawberry.type(description="The error of a part of a mutation.")
class UserError:
    """An error of a part of a mutation."""

    code: str = strawberry.field(description="The kind of the error, as in extensions.code of other errors.")
    error_code: int = strawberry.field(description="The error code of the v3 REST API.")
    message: str = strawberry.field(description="A human-readable message.")
    retriable: bool = strawberry.field(description="Whether a retry may succeed.")
    field: str | None = strawberry.field(
        default=None,
        description="The path of the invalid field, such as input.records[1].value.data; null if it has none.",
    )

    @classmethod
    def of(cls, error: FacadeError) -> UserError:
        """Convert an error."""
        return cls(
            code=str(extensions_of(error)["code"]),
            error_code=error.codes.v3,
            message=message_of(error),
            retriable=error.codes.retriable,
            field=field_path(error),
        )
