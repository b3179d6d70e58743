"""Decoding of JSON in records to data that a response can contain."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from kafka_facade.core.records.json_numbers import JsonDecoder
from kafka_facade.core.records.long_values import LONG, LongJson, encode_long

MAX_DEPTH: Final = 500
"""Maximum nesting of arrays and objects in responses, well below the limits of decoders and encoders."""

_decode = JsonDecoder().decode
_encode = msgspec.json.Encoder().encode
_TOO_DEEP: Final = f"it is nested deeper than {MAX_DEPTH}"


class Unshowable(ValueError):
    """JSON or data that a response cannot contain."""


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_any_json = json.JSONDecoder(parse_float=len, parse_int=len, parse_constant=_refuse)


def is_json(document: bytes | bytearray) -> bool:
    """Return whether a document is JSON, of any size, range or depth."""
    try:
        _any_json.decode(document.decode())
    except ValueError:
        return False
    except RecursionError:
        pass
    return True


def decode(payload: bytes) -> object:
    """Decode a JSON text. Raises Unshowable if a response cannot contain it, another ValueError if it is invalid."""
    try:
        data = _decode(payload)
    except UnicodeDecodeError:
        raise ValueError("the bytes are not UTF-8") from None
    except RecursionError:
        if payload.rstrip()[-1:] not in (b"]", b"}"):
            raise ValueError("the JSON is incomplete") from None
        raise Unshowable(_TOO_DEEP) from None
    except msgspec.DecodeError as error:
        if not is_json(payload):
            raise ValueError(str(error)) from None
        if isinstance(error, msgspec.ValidationError):
            raise Unshowable(str(error)) from None
        raise Unshowable("an escape sequence in a string is half of a surrogate pair") from None
    if len(payload) > MAX_DEPTH:
        _check_depth(data, payload)
    return data


def shown(data: object, longest: int) -> object:
    """Return the data, or its JSON text as a LongJson if that is long; then the data must not be used any more.

    ``longest`` is the most characters that a text in it may have. Raises Unshowable if a response cannot contain it.
    """
    try:
        text = encode_long(data) if longest > LONG else _encode(data)
    except UnicodeEncodeError:
        raise Unshowable("a string has half of a surrogate pair") from None
    except RecursionError:
        raise Unshowable(_TOO_DEEP) from None
    _check_depth(data, text)
    return LongJson(text) if len(text) > LONG else data


def _check_depth(data: object, text: bytes) -> None:
    # Few texts have that many brackets, so this usually avoids walking the data.
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise Unshowable(_TOO_DEEP)


def _children(parent: Any) -> list[Any]:
    entries = parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ()
    return [entry for entry in entries if isinstance(entry, dict | list)]
