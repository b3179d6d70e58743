"""How rooms declare their settings. It imports no other room.

A section is a frozen dataclass whose fields are made by :func:`~.declaration.setting`: the key, the default and the
parser stand there, and the field's docstring is the description in docs/settings.md. ``runtime.settings`` reads all
sections.
"""
