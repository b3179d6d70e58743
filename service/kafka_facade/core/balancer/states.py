"""The states of the balancer."""

from __future__ import annotations

from enum import Enum


class BalancerState(str, Enum):
    """Whether the balancer runs."""

    DISABLED = "DISABLED"
    """It is switched off."""
    STARTING = "STARTING"
    """No gateway leads, or it has not looked at the cluster yet."""
    ENABLED = "ENABLED"
    ERROR = "ERROR"
    """The leader cannot look at the cluster."""


class UnevenLoadState(str, Enum):
    """Whether the load is even."""

    STARTING = "STARTING"
    """The leader has not looked yet."""
    BALANCED = "BALANCED"
    BALANCING = "BALANCING"
    BALANCING_FAILED = "BALANCING_FAILED"
    ABORTED = "ABORTED"
    """A more important task was in the way."""
    DISABLED = "DISABLED"
    """Load is evened only when a broker is empty."""
    UNKNOWN = "UNKNOWN"
    """There was no state before."""
