"""Tasks that remove and add brokers."""
