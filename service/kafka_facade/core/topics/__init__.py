"""Topics, partitions and replicas."""
