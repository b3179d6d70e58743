"""Clusters and brokers."""
