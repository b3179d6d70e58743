"""Configs of topics and brokers."""
