"""Forwarding of calls between workers: each consumer instance lives in one of them."""
