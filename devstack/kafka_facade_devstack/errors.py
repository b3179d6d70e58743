"""What can stop the development stack, said in one line with its mend."""


class DevStackError(Exception):
    """A failure whose text is one line: what is wrong and what mends it."""
