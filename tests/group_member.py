"""A consumer in a process of its own: joins a group, reads, commits on demand, and leaves once its input ends.

Arguments: bootstrap servers, group, topic, how many records to read and commit (0 for none), and a JSON object of
further client settings. Writes a line of JSON for each partition list that it has: ``[[topic, partition], ...]``, and
``"committed"`` once it has read and committed.
"""

import json
import sys
import threading

from confluent_kafka import Consumer


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    servers, group, topic, count, settings = sys.argv[1:]
    left = int(count)
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **json.loads(settings),
        }
    )
    ended = threading.Event()
    threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
    consumer.subscribe([topic])
    shown = None
    while not ended.is_set():
        message = consumer.poll(0.1)
        held = sorted([entry.topic, entry.partition] for entry in consumer.assignment())
        if held != shown:
            shown = held
            _say(held)
        if message is None or message.error() is not None or left <= 0:
            continue
        left -= 1
        if left == 0:
            consumer.commit(asynchronous=False)
            _say("committed")
    consumer.close()


if __name__ == "__main__":
    main()
