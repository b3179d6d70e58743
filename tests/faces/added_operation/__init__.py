"""Operations that the gateway does not have: what has to be written to add some, and nothing else."""
