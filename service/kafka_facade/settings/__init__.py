"""How rooms declare their settings. It imports no other room.

A section is a frozen dataclass whose fields are made by :func:`~.declaration.setting`: the key, the default and the
parser stand there. In docs/settings.md the docstring of the class is the title of the section, and that of a field its
description. ``runtime.settings`` reads all sections.
"""
