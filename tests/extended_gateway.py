"""`kafka-facade serve` with the added operations of the tests: `extended_gateway.py serve ...`."""

from __future__ import annotations

from functools import partial

from faces.added_operation.parts import parts
from kafka_facade.cli import main
from kafka_facade.runtime import serve
from kafka_facade.runtime.worker import Worker

serve.__dict__["Worker"] = partial(Worker, parts=parts())
main()
