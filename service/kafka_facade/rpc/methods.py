"""The methods with handlers of their own; all others are derived from the core's request and answer."""

from __future__ import annotations

from typing import Final

from kafka_facade.rpc import configs, consumer_instances, records
from kafka_facade.rpc.consume import consume
from kafka_facade.rpc.dispatch import Custom, Written

METHODS: Final[dict[str, Custom | Written]] = {
    "TopicConfigService/AlterMultipleTopicConfigs": Custom(configs.alter_multiple),
    "RecordService/ProduceRecords": Custom(records.produce),
    "RecordService/BatchProduceRecords": Custom(records.produce_batch),
    "ConsumerInstanceService/FetchRecords": Written(consumer_instances.fetch, consumer_instances.identify),
}

STREAMS: Final = {"RecordService/Consume": consume}
"""Those that stream responses."""
