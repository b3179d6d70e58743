"""What callers are told of errors: the row of the core's table, and nothing of what is inside the gateway."""

from __future__ import annotations

import logging

from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError, StrawberryInputCoercionError
from strawberry.extensions import MaskErrors
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from kafka_facade.core.errors import FacadeError, MalformedBody

logger = logging.getLogger("kafka_facade.graphql")

# What Strawberry raises for documents and values that a caller got wrong.
_CALLERS = (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError, StrawberryInputCoercionError)


def extensions_of(error: FacadeError) -> dict[str, object]:
    """The ``extensions`` of an error: its kind, its v3 error code, whether to try again, the values in its message."""
    found: dict[str, object] = {"code": error.reason, "errorCode": error.row.v3, "retriable": error.row.retriable}
    if error.metadata:
        found["metadata"] = dict(error.metadata)
    return found


def translate(error: GraphQLError) -> GraphQLError:
    """The error as callers see it. What no caller can mend is logged here, and only here."""
    if error.extensions and "code" in error.extensions:
        return error
    cause: BaseException | None = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    if isinstance(cause, FacadeError):
        shown, message = cause, cause.message
    elif isinstance(cause, RecursionError) and error.path is None:
        shown, message = MalformedBody(), "The document is nested too deeply."
    elif cause is None or isinstance(cause, _CALLERS):
        shown, message = MalformedBody(), error.message
    else:
        logger.error("field %s failed", ".".join(map(str, error.path or ["?"])), exc_info=cause)
        shown, message = FacadeError(), FacadeError.default_message
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions_of(shown),
    )


class TranslateErrors(MaskErrors):
    """Translates the errors of every result, on whatever transport."""

    def __init__(self) -> None:
        super().__init__()

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        """The error as callers see it."""
        return translate(error)
