"""Producing and reading records, and their formats."""
