"""``python -m kafka_facade``."""

from kafka_facade.cli import main

main()
