"""The config method whose response contains errors per topic."""

from __future__ import annotations

from kafka_facade.core.call import Call
from kafka_facade.core.configs.model import AlterMultipleTopicConfigs
from kafka_facade.core.core import Core
from kafka_facade.rpc.answers import Room
from kafka_facade.rpc.convert import reader
from kafka_facade.rpc.gen.v1 import topic_config_pb2
from kafka_facade.rpc.options import RpcOptions

# Size in bytes of a failure with the longest topic name and a code.
_FAILURE_BYTES = 300

_read = reader(AlterMultipleTopicConfigs, topic_config_pb2.AlterMultipleTopicConfigsRequest)


async def alter_multiple(
    core: Core, call: Call, message: topic_config_pb2.AlterMultipleTopicConfigsRequest, options: RpcOptions
) -> topic_config_pb2.AlterMultipleTopicConfigsResponse:
    """TopicConfigService.AlterMultipleTopicConfigs."""
    failures = await core.perform(call, _read(message))
    room = Room(options.max_response_bytes, len(failures), _FAILURE_BYTES, message)
    response = topic_config_pb2.AlterMultipleTopicConfigsResponse()
    for failure in failures:
        response.failures.add(topic_name=failure.topic_name, error=room.status(failure.error))
    return response
