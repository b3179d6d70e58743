"""The balancer: moves replicas between brokers, to empty some or to even their load."""
