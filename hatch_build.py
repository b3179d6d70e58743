"""Build hook: wheels and sdists have the assets of the GraphiQL page, wheels the protos too."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Runs before hatchling collects the files; an editable installation takes them from the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the assets where npm is there, and put the protos where `-I site-packages` finds them."""
        if version == "editable":
            return
        root = Path(self.root)
        subprocess.run(["sh", "scripts/graphiql", "--if-needed"], cwd=root, check=True, stdout=subprocess.DEVNULL)
        if not (root / "graphql/kafka_facade_graphql/static/graphiql.js").is_file():
            self.app.display_warning("without npm, GraphiQL's assets are not in the package: a CDN serves them")
        if self.target_name == "wheel":
            build_data["force_include"]["proto/kafka_facade/v1"] = "kafka_facade/v1"
