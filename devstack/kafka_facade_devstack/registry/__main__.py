"""`python -m kafka_facade_devstack.registry PORT`: serves until SIGTERM, on loopback only.

The environment has the settings of its Kafka client, because all users could see a password in the arguments.
"""

import asyncio
import json
import os
import sys

import uvicorn

from kafka_facade_devstack.ports import HOST
from kafka_facade_devstack.registry import KAFKA_SETTINGS
from kafka_facade_devstack.registry.app import create_app
from kafka_facade_devstack.registry.log import SchemaLog
from kafka_facade_devstack.registry.store import Store


async def _serve(port: int, kafka: dict[str, str]) -> None:
    store = Store(SchemaLog(kafka))
    await store.load()
    config = uvicorn.Config(create_app(store), host=HOST, port=port, log_level="warning", lifespan="off")
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), json.loads(os.environ.pop(KAFKA_SETTINGS))))
