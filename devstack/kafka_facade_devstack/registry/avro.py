"""Whether a JSON value is an Avro schema (Avro 1.12 specification, "Schema Declaration"); defaults are not checked."""

import re
from typing import Any

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


class AvroError(ValueError):
    """What is wrong with the schema."""


def check(schema: Any, names: set[str], namespace: str = "") -> None:
    """Raises AvroError if it is no schema; adds the full names it defines to `names`, which it may refer to."""
    match schema:
        case str():
            if schema not in PRIMITIVES and _full(schema, namespace) not in names and schema not in names:
                raise AvroError(f'undefined name: "{schema}"')
        case list():
            for branch in schema:
                if isinstance(branch, list):
                    raise AvroError("a union directly in a union")
                check(branch, names, namespace)
            plain = [_kind(branch, namespace) for branch in schema]
            if len(set(plain)) != len(plain):
                raise AvroError(f"duplicate in union: {max(plain, key=plain.count)}")
        case dict():
            _check_complex(schema, names, namespace)
        case _:
            raise AvroError(f"no schema: {schema!r}")


def _check_complex(schema: dict[str, Any], names: set[str], namespace: str) -> None:
    match schema.get("type"):
        case "record" | "error":
            inner = _define(schema, names, namespace)
            _check_fields(schema.get("fields"), names, inner)
        case "enum":
            _define(schema, names, namespace)
            _check_symbols(schema.get("symbols"))
        case "fixed":
            _define(schema, names, namespace)
            size = schema.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise AvroError("a fixed has no size")
        case "array":
            check(schema.get("items"), names, namespace)
        case "map":
            check(schema.get("values"), names, namespace)
        case None:
            raise AvroError("no type")
        case other:
            check(other, names, namespace)


def _check_fields(fields: Any, names: set[str], namespace: str) -> None:
    if not isinstance(fields, list):
        raise AvroError("a record has no fields")
    seen = set()
    for field in fields:
        name = field.get("name") if isinstance(field, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name) or "." in name:
            raise AvroError(f"illegal field name: {name!r}")
        if name in seen:
            raise AvroError(f"duplicate field {name}")
        if "type" not in field:
            raise AvroError(f"no type: field {name}")
        seen.add(name)
        check(field["type"], names, namespace)


def _check_symbols(symbols: Any) -> None:
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        raise AvroError("an enum has no symbols")
    if len(set(symbols)) != len(symbols) or not all(_NAME.fullmatch(symbol) for symbol in symbols):
        raise AvroError("an enum has duplicate or illegal symbols")


def _define(schema: dict[str, Any], names: set[str], namespace: str) -> str:
    name = schema.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise AvroError(f"illegal name: {name!r}")
    full = _full(name, str(schema.get("namespace", namespace) or ""))
    if full in names:
        raise AvroError(f"can't redefine: {full}")
    names.add(full)
    return full.rpartition(".")[0]


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _kind(branch: Any, namespace: str) -> str:
    if isinstance(branch, str):
        return branch if branch in PRIMITIVES else _full(branch, namespace)
    type_ = branch.get("type")
    if type_ in ("record", "error", "enum", "fixed"):
        return _full(str(branch["name"]), str(branch.get("namespace", namespace) or ""))
    return str(type_)
