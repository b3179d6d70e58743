"""Addresses that only this machine reaches."""

from __future__ import annotations

import ipaddress


def loopback(host: str) -> str:
    """Return a loopback address. Raises ValueError for anything else, with what is expected."""
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise ValueError("a loopback address such as 127.0.0.1, since connections between workers aren't encrypted yet")
