"""`python -m kafka_facade.devstack.registry PORT BOOTSTRAP_SERVERS`: serves until SIGTERM, on loopback only."""

import asyncio
import sys

import uvicorn

from kafka_facade.devstack.ports import HOST
from kafka_facade.devstack.registry.app import create_app
from kafka_facade.devstack.registry.log import SchemaLog
from kafka_facade.devstack.registry.store import Store


async def _serve(port: int, bootstrap_servers: str) -> None:
    store = Store(SchemaLog(bootstrap_servers))
    await store.load()
    config = uvicorn.Config(create_app(store), host=HOST, port=port, log_level="warning", lifespan="off")
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
