"""The status of the balancer, and the requests for it."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_facade.core.balancer.states import BalancerState, UnevenLoadState
from kafka_facade.core.request import Request


@dataclass(slots=True)
class BalancerStatus:
    """Whether the balancer runs; the error is None unless it does not."""

    cluster_id: str
    status: BalancerState
    error_code: int | None = None
    error_message: str | None = None


@dataclass(slots=True)
class AnyUnevenLoad:
    """Whether the load is even, and was before. Times are in Unix ms."""

    cluster_id: str
    status: UnevenLoadState
    previous_status: UnevenLoadState
    status_updated_at: int
    previous_status_updated_at: int
    error_code: int | None = None
    error_message: str | None = None


@dataclass(slots=True)
class GetBalancerStatus(Request[BalancerStatus]):
    cluster_id: str | None


@dataclass(slots=True)
class GetAnyUnevenLoad(Request[AnyUnevenLoad]):
    cluster_id: str | None
