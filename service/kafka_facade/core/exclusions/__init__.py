"""Broker replica exclusions: brokers that get no new replicas."""
