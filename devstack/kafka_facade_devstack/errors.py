"""The error of the development stack."""


class DevStackError(Exception):
    """A failure; the message is one line with the problem and its solution."""
