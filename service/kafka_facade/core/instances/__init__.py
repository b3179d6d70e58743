"""Consumer instances: consumer group members that run inside the gateway on behalf of callers."""
