"""Validation of loopback addresses."""

from __future__ import annotations

import ipaddress


def loopback(host: str) -> str:
    """Return the host if it is a loopback address. Raises ValueError with the expected form otherwise."""
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise ValueError("a loopback address such as 127.0.0.1, since all workers run on this machine")
