"""Operations that the gateway doesn't have: what has to be written to add some, and nothing else."""
