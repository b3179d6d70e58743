"""The status of replicas: what each broker has of a partition."""
