"""A cache of what is found out about texts of callers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

_Text = TypeVar("_Text", str, str | None)
_Others = ParamSpec("_Others")
_Found = TypeVar("_Found")

# Together with the number of entries this bounds the memory; real paths and header fields are shorter.
_LONGEST: Final = 512


def cached(
    entries: int,
) -> Callable[[Callable[Concatenate[_Text, _Others], _Found]], Callable[Concatenate[_Text, _Others], _Found]]:
    """As ``lru_cache``, for functions of a text: what is found out about a long text is not kept."""

    def decorate(function: Callable[Concatenate[_Text, _Others], _Found]) -> Callable[..., _Found]:
        keeping: Callable[..., _Found] = lru_cache(maxsize=entries)(function)

        @wraps(function)
        def find(text: _Text, *others: Any, **named: Any) -> _Found:
            if text is not None and len(text) > _LONGEST:
                return function(text, *others, **named)
            return keeping(text, *others, **named)

        return find

    return decorate
