"""Conversion of errors for callers, with common GraphQL error codes or the core's reasons, and without internals.

``extensions`` of each error has ``code``, ``errorCode`` (that of the v3 REST API) and ``retriable``. If a field is
invalid, ``field`` is its path (``input.records[1].value.data``). ``metadata`` has the values in the message.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final

from graphql import FieldNode, GraphQLError, GraphQLSyntaxError, IntValueNode
from strawberry.exceptions import MissingQueryError, StrawberryInputCoercionError
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import StreamExecutionResult
from strawberry.utils.str_converters import to_camel_case

from kafka_facade.core.core import FAMILIES
from kafka_facade.core.errors import FacadeError, MalformedBody, ServerError
from kafka_facade.core.quoting import QUOTE_LENGTH, quote, shorten
from kafka_facade.core.registry import field_names
from kafka_facade_graphql.limits import LimitError

logger = logging.getLogger("kafka_facade.graphql")

MAX_ERRORS: Final = 100
"""Maximum number of errors in a response; one more says how many were omitted."""
_INPUT: Final = "input"
# Exceptions that Strawberry raises for invalid documents and values of callers.
_CALLERS: Final = (MissingQueryError, InvalidOperationTypeError, StrawberryInputCoercionError)
# graphql-core's message about an invalid variable, with the path of the value.
_VARIABLE: Final = re.compile(r'Variable ["\']\$(\w+)["\'] (?:has|got) invalid value(?: at (\S+))?: ')
# Long quotations of the caller's input in graphql-core's messages: in quotation marks, or a value at the end.
_LONG: Final = re.compile(
    rf"""(?s)(?<=')[^']{{{QUOTE_LENGTH},}}(?=')|(?<=")[^"]{{{QUOTE_LENGTH},}}(?=")|(?<=value: ).+|(?<=found: ).+"""
)
# Names of the core's fields that are spelled differently in GraphQL.
_NAMES: Final = frozenset(name for name in field_names(FAMILIES) if "_" in name)
_WORD: Final = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")


class Code(str, Enum):
    """``extensions.code`` of GraphQL's own errors, as in Apollo Server."""

    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    OPERATION_RESOLUTION_FAILURE = "OPERATION_RESOLUTION_FAILURE"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    BAD_REQUEST = "BAD_REQUEST"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


def extensions_of(error: FacadeError, code: Code | None = None, *, prefix: str = "") -> dict[str, object]:
    """Return the ``extensions`` of an error. The code is its reason unless given; ``prefix`` goes before its field."""
    if code is None and type(error) is ServerError:
        code = Code.INTERNAL_SERVER_ERROR
    found: dict[str, object] = {
        "code": error.reason if code is None else code.value,
        "errorCode": error.codes.v3,
        "retriable": error.codes.retriable,
    }
    if error.field is not None:
        found["field"] = field_path(error, prefix=prefix)
    metadata = {to_camel_case(name): value for name, value in error.metadata.items() if name != "field"}
    if metadata:
        found["metadata"] = metadata
    return found


def message_of(error: FacadeError) -> str:
    """Return the message, truncated, with GraphQL's field names."""

    def spell(word: re.Match[str]) -> str:
        name = word[0]
        return str(to_camel_case(name)) if name in _NAMES or name in error.metadata else name

    return _WORD.sub(spell, error.message)


def field_path(error: FacadeError, *, prefix: str = _INPUT) -> str | None:
    """Return the path of the invalid field in GraphQL's names, such as ``input.records[1].value.data``."""
    if error.field is None:
        return None
    path = ".".join(to_camel_case(part) for part in error.field.split("."))
    return f"{prefix}.{path}" if prefix else path


def refusal(message: str, code: Code) -> GraphQLError:
    """Return an error for a request that is rejected before execution."""
    return GraphQLError(shorten(message), extensions=extensions_of(MalformedBody(), code))


def translate(error: GraphQLError, code: Code = Code.BAD_USER_INPUT) -> GraphQLError:
    """Convert an error for callers; ``code`` is used for graphql-core's errors about documents and values.

    Internal errors are logged here, and only here.
    """
    if error.extensions and "code" in error.extensions:
        return error
    cause: BaseException | None = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    message = error.message
    if isinstance(cause, FacadeError):
        message = message_of(cause)
        extensions = extensions_of(cause, prefix=_INPUT if _takes_input(error) else "")
    elif isinstance(error, LimitError):
        extensions = extensions_of(MalformedBody(), Code.GRAPHQL_VALIDATION_FAILED) | {"metadata": error.limited}
    elif isinstance(error, GraphQLSyntaxError):
        extensions = extensions_of(MalformedBody(), Code.GRAPHQL_PARSE_FAILED)
        message = _LONG.sub(lambda found: quote(found[0]), message)
    elif isinstance(cause, RecursionError) and error.path is None:
        message = "The document is nested too deeply."
        extensions = extensions_of(MalformedBody(), Code.GRAPHQL_VALIDATION_FAILED)
    elif isinstance(cause, CannotGetOperationTypeError):
        extensions = extensions_of(MalformedBody(), Code.OPERATION_RESOLUTION_FAILURE)
    elif isinstance(cause, ValueError) and any(isinstance(node, IntValueNode) for node in error.nodes or ()):
        # Python limits the number of digits that it parses.
        message = "The number has too many digits."
        extensions = extensions_of(MalformedBody(), code)
    elif cause is None or isinstance(cause, _CALLERS):
        extensions = extensions_of(MalformedBody(), code)
        variable = _VARIABLE.match(message)
        if variable is not None:
            extensions["field"] = quote(f"{variable[1]}{variable[2] or ''}")
        message = _LONG.sub(lambda found: quote(found[0]), message)
    else:
        logger.error("field %s failed", ".".join(map(str, error.path or ["?"])), exc_info=cause)
        message = ServerError.default_message
        extensions = extensions_of(ServerError())
    return GraphQLError(
        shorten(message),
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )


def _takes_input(error: GraphQLError) -> bool:
    """Return whether the failed field takes a single input object."""
    fields = [node for node in error.nodes or () if isinstance(node, FieldNode)]
    return any(argument.name.value == _INPUT for node in fields for argument in node.arguments or ())


def translate_all(errors: Sequence[GraphQLError], overflow: FacadeError | None) -> list[GraphQLError]:
    """Convert the errors of a result for callers; ``overflow`` is the error if the response became too large."""
    if overflow is not None:
        cause = next((error for error in errors if error.original_error is overflow), None)
        return [translate(cause if cause is not None else GraphQLError(overflow.message, original_error=overflow))]
    shown = [translate(error) for error in errors[:MAX_ERRORS]]
    if len(errors) > MAX_ERRORS:
        shown.append(refusal(f"{len(errors) - MAX_ERRORS} more errors are omitted.", Code.BAD_REQUEST))
    return shown


class TranslateErrors(SchemaExtension):
    """Translates the errors of every result, on every transport."""

    _streamed = False

    def on_operation(self) -> Iterator[None]:
        """Translate the result, unless it is a stream."""
        yield
        if not self._streamed:
            self._translate(self.execution_context.result)

    def on_stream_result(self, result: StreamExecutionResult) -> Iterator[None]:
        """Translate the next result of a stream."""
        self._streamed = True
        self._translate(result)
        yield

    def _translate(self, result: Any) -> None:
        if result is None or not result.errors:
            return
        overflow = self.execution_context.context.overflow
        result.errors = translate_all(result.errors, overflow)
        if overflow is not None:
            result.data = None
