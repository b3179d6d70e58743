"""Sort keys of paginated lists: a page starts after the key of the last item of the previous page.

The key of an item is what its own path adds to the path of the list, such as ``topic_name`` to the topics of a cluster.
The exceptions are below.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from kafka_facade.core.acls.model import Acl
from kafka_facade.core.acls.order import order as acl_order
from kafka_facade.core.catalogue import Operation
from kafka_facade.core.links import Kind

# Lists in an order of their own, which are paginated by position: the preferred replica and the largest lag come first.
_BY_POSITION: Final = frozenset({"api.v3.replicas.list", "api.v3.consumer-lags.list"})
_ORDERS: Final[dict[type[Any], Callable[[Any], Any]]] = {Acl: acl_order}

_PARAMETER: Final = re.compile(r"{(\w+)}")


def sort_key(operation: Operation, kind: Kind | None) -> Callable[[Any], Any] | None:
    """Return a function for an item's sort key (a JSON value); None for a list paginated by position."""
    if kind is None or operation.identifier in _BY_POSITION:
        return None
    if kind.type in _ORDERS:
        return _ORDERS[kind.type]
    given = _PARAMETER.findall(operation.path)
    fields = [name for name in _PARAMETER.findall(kind.path) if name not in given]
    if len(fields) == 1:
        return attrgetter(fields[0])
    # A list, because decoding a page token also yields a list.
    return lambda item: [getattr(item, field) for field in fields]
