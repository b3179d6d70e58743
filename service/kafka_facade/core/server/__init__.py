"""The gateway itself."""
