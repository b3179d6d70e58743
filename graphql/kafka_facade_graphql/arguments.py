"""Arguments that fields of several families take."""

from __future__ import annotations

from typing import Annotated

import strawberry

from kafka_facade.core import paging
from kafka_facade.core.balancer import steps as core_steps

First = Annotated[
    int | None,
    strawberry.argument(
        description=f"How many at most; {paging.DEFAULT_PAGE_SIZE} if left out, never above {paging.MAX_PAGE_SIZE}."
    ),
]


After = Annotated[str | None, strawberry.argument(description="The cursor that the page starts after.")]


TopicName = Annotated[str, strawberry.argument(description="The topic's name.")]


PartitionId = Annotated[int, strawberry.argument(description="The partition's number, from 0.")]


BrokerId = Annotated[int, strawberry.argument(description="The broker's id.")]


ConfigName = Annotated[str, strawberry.argument(description="The config's name.")]


BrokerTaskType = strawberry.enum(core_steps.TaskType, name="BrokerTaskType", description="What a task does.")
TaskType = Annotated[core_steps.TaskType, strawberry.argument(description="The type of task.")]
