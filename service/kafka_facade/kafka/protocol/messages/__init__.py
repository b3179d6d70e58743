"""Messages of Kafka's protocol that kafka-python lacks, in the form of its own; loading this module loads all of that.

The fields are those of Kafka's message definitions (KIP-848, KIP-631).
"""

from __future__ import annotations

from kafka.protocol.api_message import ApiMessage


class ConsumerGroupDescribeRequest(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """Describes groups of the ``consumer`` protocol."""


class ConsumerGroupDescribeResponse(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """The answer; groups in no order, each with an error code of its own."""


class UnregisterBrokerRequest(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """Removes a broker from the cluster's registry."""


class UnregisterBrokerResponse(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """The answer, with an error code."""
