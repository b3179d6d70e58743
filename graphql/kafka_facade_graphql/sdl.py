"""``python -m kafka_facade_graphql.sdl`` prints the schema in the schema definition language."""

from __future__ import annotations

import sys

from kafka_facade_graphql.schema import sdl

if __name__ == "__main__":
    sys.stdout.write(sdl())
