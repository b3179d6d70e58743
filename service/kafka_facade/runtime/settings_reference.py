"""The settings as Markdown, made from the sections and the docstrings of their fields."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from kafka_facade.client_settings.options import ROLES
from kafka_facade.runtime.settings import sections
from kafka_facade.settings import shared
from kafka_facade.settings.declaration import Setting, settings_of

# Settings that are passed to a client, by the prefix of their keys, and their fields.
_GROUPS = {"client": "client", **{role: role for role in ROLES}, "schema.registry": "properties"}


def tables() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield each section's title with its rows: the key, the default (as in a properties file) and the description.

    A setting of several sections is a row of the first one.
    """
    done: set[str] = set()
    for section in sections().values():
        rows = [row for row in _rows(section) if row[0] not in done]
        done |= {key for key, _, _ in rows}
        yield (section.__doc__ or "").strip().rstrip("."), rows


def markdown() -> str:
    """Return the tables in Markdown."""
    parts = []
    for title, rows in tables():
        lines = [f"## {title}", "", "| setting | default | description |", "|---|---|---|"]
        lines += [f"| `{key}` | {f'`{default}`' if default else ''} | {text} |" for key, default, text in rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _rows(section: type[Any]) -> Iterator[tuple[str, str, str]]:
    described = _docstrings(section)
    common = {id(setting): name for name, setting in vars(shared).items() if isinstance(setting, Setting)}
    for name, setting in settings_of(section):
        text = _docstrings(shared)[common[id(setting)]] if id(setting) in common else described[name]
        yield setting.key, setting.default, text
    fields = {field.name for field in dataclasses.fields(section)}
    for prefix, name in _GROUPS.items():
        if name in fields:
            yield f"{prefix}.*", "", described[name]


def _docstrings(of: type[Any] | ModuleType) -> dict[str, str]:
    """Return the docstrings of the fields of a class or the constants of a module, by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    body = tree.body if isinstance(of, ModuleType) else next(n.body for n in tree.body if isinstance(n, ast.ClassDef))
    found = {}
    for entry, after in itertools.pairwise(body):
        if not isinstance(after, ast.Expr) or not isinstance(after.value, ast.Constant):
            continue
        match entry:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                found[name] = " ".join(str(after.value.value).replace("``", "`").split())
    return found
