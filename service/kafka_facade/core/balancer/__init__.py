"""The balancer: which replicas move between brokers."""
