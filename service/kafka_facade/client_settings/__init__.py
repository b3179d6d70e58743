"""Translation of the Java client's settings for the clients of the gateway."""
