"""What a process counts of its own work, for `/metrics`. The names are explained in docs/monitoring.md."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
LONG = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)

registry = CollectorRegistry()

# ---- this process
requests = Counter("fl_requests", "Requests that were answered.", ["route", "method", "status"], registry=registry)
request_seconds = Histogram(
    "fl_request_seconds",
    "From a request's head to the end of its answer. A call for work waits up to 30 s on purpose.",
    ["route"],
    buckets=SHORT,
    registry=registry,
)
live_connections = Gauge("fl_live_connections", "Open websockets.", registry=registry)
feed_delay = Histogram(
    "fl_feed_delay_seconds",
    "From an event to its way to the browsers that watch.",
    buckets=SHORT,
    registry=registry,
)

# ---- the whole: every web process counts all rounds that ended since it started
rounds = Counter("fl_rounds", "Rounds that ended.", ["kind", "outcome"], registry=registry)
round_seconds = Histogram(
    "fl_round_seconds", "From a round's opening to its end.", ["kind"], buckets=LONG, registry=registry
)
aggregation_seconds = Histogram(
    "fl_aggregation_seconds",
    "From the last report to the round's end: aggregation and publishing.",
    buckets=LONG,
    registry=registry,
)
seats = Counter("fl_seats", "Seats of rounds that ended, by how they ended.", ["status"], registry=registry)
update_bytes = Counter("fl_update_bytes", "Bytes of the updates of rounds that ended.", registry=registry)

# ---- the whole, as it is at the moment
sessions = Gauge("fl_sessions", "Sessions.", ["status"], registry=registry)
open_rounds = Gauge("fl_open_rounds", "Rounds that are open.", ["kind", "status"], registry=registry)
open_seats = Gauge("fl_open_seats", "Seats of open rounds.", ["status"], registry=registry)
clients = Gauge("fl_clients", "Clients that are enabled.", ["state"], registry=registry)
queue = Gauge("fl_queue_messages", "Messages that wait for a worker; -1 without a broker.", registry=registry)
tick_age = Gauge("fl_tick_age_seconds", "Since a worker ticked last; it does so every second.", registry=registry)
database_up = Gauge("fl_database_up", "1 if the database answers.", registry=registry)
database_seconds = Gauge("fl_database_seconds", "What the questions for this answer took.", registry=registry)
storage_free = Gauge("fl_storage_free_bytes", "Free room of the data folder's disk.", registry=registry)
storage_size = Gauge("fl_storage_size_bytes", "Size of the data folder's disk.", registry=registry)
