"""State of the gateways of a cluster: one compacted topic that an elected leader writes and every worker reads."""
