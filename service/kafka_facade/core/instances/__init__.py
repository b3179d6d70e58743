"""Consumer instances: members of a group that live in this gateway."""
