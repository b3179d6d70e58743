"""The GraphiQL page, with bundled assets if they were built, or else the same versions from a CDN."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from pathlib import Path

PACKAGE = Path(str(files("kafka_facade_graphql")))
STATIC = PACKAGE / "static"
SOURCE = PACKAGE / "graphiql"

_CDN = "https://esm.sh"
# Packages resolved by the import map instead of the CDN, so that the page loads only one copy of each.
_SHARED = "react,react-dom,graphql,@graphiql/react,@graphiql/toolkit"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>GraphiQL - kafka-facade</title>
<style>body {{ margin: 0 }} #graphiql {{ height: 100dvh }}</style>
{head}
</head>
<body><div id="graphiql"><p style="font: 1rem system-ui; margin: 2rem">{waiting}</p></div></body>
</html>
"""


_FROM_CDN = "GraphiQL comes from a CDN. If this stays, it is out of reach: scripts/graphiql makes the page work offline"


def is_built() -> bool:
    """Return whether the package contains the assets (``scripts/graphiql`` builds them)."""
    return (STATIC / "graphiql.js").is_file()


def assets() -> Path:
    """Return the directory to serve below the page: the bundle, or the page's source file."""
    return STATIC if is_built() else SOURCE


def page(path: str) -> str:
    """The page's HTML, for GraphQL served at ``path``."""
    base = escape(path.rstrip("/") + "/static", quote=True)
    if is_built():
        return _PAGE.format(head=_bundled(base), waiting="GraphiQL needs JavaScript.")
    return _PAGE.format(head=_from_cdn(base), waiting=_FROM_CDN)


def _bundled(base: str) -> str:
    styles = "\n".join(f'<link rel="stylesheet" href="{base}/{name}.css">' for name in ("graphiql", "style"))
    return f'{styles}\n<script type="module" src="{base}/graphiql.js"></script>'


def _from_cdn(base: str) -> str:
    versions: dict[str, str] = json.loads((SOURCE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    imports = {"monaco-workers": f"{_CDN}/graphiql@{versions['graphiql']}/setup-workers/esm.sh"}
    for name, version in versions.items():
        imports[name] = f"{_CDN}/{name}@{version}?standalone&external={_SHARED}"
        imports[name + "/"] = f"{_CDN}/{name}@{version}/"
    for name in ("react", "react-dom", "graphql"):
        imports[name] = f"{_CDN}/{name}@{versions[name]}"
    return (
        f'<link rel="stylesheet" href="{_CDN}/graphiql@{versions["graphiql"]}/dist/style.css">\n'
        f'<script type="importmap">{json.dumps({"imports": imports})}</script>\n'
        f'<script type="module" src="{base}/main.js"></script>'
    )
