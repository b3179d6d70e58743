"""The planner: pure and deterministic, with nothing but the standard library."""
