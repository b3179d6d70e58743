"""Consumer groups, wherever their members run."""
