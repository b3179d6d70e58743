"""The settings as a Markdown table, made from the settings class and the docstrings of its fields."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
from collections.abc import Iterator

from kafka_facade.runtime import settings
from kafka_facade.runtime.settings import Settings


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield the key, the default (as in a properties file) and the description of each setting."""
    documented = _docstrings()
    for key, field in Settings.keys().items():
        yield key, field.metadata["default"], documented[field.name]


def groups() -> Iterator[tuple[str, str, str]]:
    """Yield the same for each prefix of settings that are passed to a client."""
    documented = _docstrings()
    for field in dataclasses.fields(Settings):
        if not field.metadata:
            prefix = field.name.removesuffix("_properties").replace("_", ".")
            yield f"{prefix}.*", "", documented[field.name]


def markdown() -> str:
    """Return the table in Markdown."""
    lines = ["| setting | default | description |", "|---|---|---|"]
    lines += [
        f"| `{key}` | {f'`{default}`' if default else ''} | {text} |" for key, default, text in [*rows(), *groups()]
    ]
    return "\n".join(lines) + "\n"


def _docstrings() -> dict[str, str]:
    """Return the docstring of each field, by its name."""
    tree = ast.parse(inspect.getsource(settings))
    [body] = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == Settings.__name__]
    found = {}
    for field, after in itertools.pairwise(body):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.replace("``", "`").split())
    return found
