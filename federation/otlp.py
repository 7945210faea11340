"""OpenTelemetry's own library, given spans that are over. It batches them and sends them as OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from federation.traces import Span

MOST_WAITING = 16_384  # spans; more are left out
DELAY_MS = 1000  # within which spans are sent together
SECONDS = 10  # that a collector has to answer
SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Processor:
    """url: of the collector's traces, as http://127.0.0.1:4318/v1/traces."""

    def __init__(self, url: str) -> None:
        exporter = OTLPSpanExporter(endpoint=url, timeout=SECONDS)
        self._batches = BatchSpanProcessor(exporter, MOST_WAITING, schedule_delay_millis=DELAY_MS)

    def send(self, spans: Sequence[Span]) -> None:
        for one in spans:
            self._batches.on_end(readable(one))

    def flush(self) -> None:
        """Wait until what was given is sent."""
        self._batches.force_flush()


@lru_cache(maxsize=1)
def processor(url: str) -> Processor:
    return Processor(url)


def readable(span: Span) -> ReadableSpan:
    """The span as the library has it."""
    return ReadableSpan(
        name=span.name,
        context=SpanContext(span.trace_id, span.span_id, is_remote=False, trace_flags=SAMPLED),
        parent=_parent(span),
        resource=_resource(span.service, span.instance),
        attributes=span.attributes,
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, span.failure) if span.failure else Status(StatusCode.OK),
        start_time=_nanoseconds(span.start),
        end_time=max(_nanoseconds(span.start), _nanoseconds(span.end)),
    )


def _parent(span: Span) -> SpanContext | None:
    above = span.parent_id
    return SpanContext(span.trace_id, above, is_remote=False, trace_flags=SAMPLED) if above else None


@lru_cache(maxsize=1024)
def _resource(service: str, instance: str) -> Resource:
    return Resource.create({"service.name": service, **({"service.instance.id": instance} if instance else {})})


def _nanoseconds(when: datetime) -> int:
    return round(when.timestamp() * 1e6) * 1000
