"""Commands for people that call a running gateway."""
