import threading
from contextlib import suppress

import pytest
from kombu import Connection, Consumer, Queue

import flsite.celery  # noqa: F401  makes the transport known

TASKS = Queue("embedded-test")


def test_a_message_wakes_the_worker_at_once():
    """The worker waits longer than this test may take; nothing but the message can end it."""
    waiting, got = threading.Event(), []

    def work():
        with Connection("embedded://") as connection, Consumer(connection.default_channel, [TASKS]) as consumer:
            consumer.register_callback(lambda body, message: (got.append(body), message.ack()))
            waiting.set()
            while not got:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=60)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    assert waiting.wait(10)
    with Connection("embedded://") as connection:
        connection.Producer().publish({"id": 7}, routing_key=TASKS.name, declare=[TASKS])
    worker.join(10)
    assert got == [{"id": 7}]


def test_without_a_message_the_wait_ends():
    with (
        Connection("embedded://") as connection,
        Consumer(connection.default_channel, [Queue("embedded-test-empty")]),
        pytest.raises(TimeoutError),
    ):
        connection.drain_events(timeout=0.05)
