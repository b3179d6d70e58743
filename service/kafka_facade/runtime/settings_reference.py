"""The settings as a table for people, from the settings class and the docstrings under its fields."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
from collections.abc import Iterator

from kafka_facade.runtime import settings
from kafka_facade.runtime.settings import Settings


def rows() -> Iterator[tuple[str, str, str]]:
    """Each setting's key, its default as one would write it, and what it does."""
    documented = _docstrings()
    for key, field in Settings.keys().items():
        yield key, field.metadata["default"], documented[field.name]


def groups() -> Iterator[tuple[str, str, str]]:
    """The same of the settings that go to a client: their keys have a prefix in common."""
    documented = _docstrings()
    for field in dataclasses.fields(Settings):
        if not field.metadata:
            prefix = field.name.removesuffix("_properties").replace("_", ".")
            yield f"{prefix}.*", "", documented[field.name]


def markdown() -> str:
    """The table in Markdown."""
    lines = ["| setting | default | what it does |", "|---|---|---|"]
    lines += [
        f"| `{key}` | {f'`{default}`' if default else ''} | {text} |" for key, default, text in [*rows(), *groups()]
    ]
    return "\n".join(lines) + "\n"


def _docstrings() -> dict[str, str]:
    """The string literal that follows each field of the class."""
    tree = ast.parse(inspect.getsource(settings))
    [body] = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == Settings.__name__]
    found = {}
    for field, after in itertools.pairwise(body):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.replace("``", "`").split())
    return found
