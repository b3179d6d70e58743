"""Records: produced, read, and in all their formats."""
