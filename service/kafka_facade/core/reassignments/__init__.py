"""Reassignments of partitions."""
