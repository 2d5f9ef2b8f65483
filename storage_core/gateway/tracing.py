"""One OpenTelemetry span for each request; nothing of it is imported when it is off.

The names of attributes are those of the semantic conventions for HTTP servers. A span holds
no path, query or header, which may tell secrets; the request id leads to the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage_core.gateway.exchange import Exchange


class Tracing:
    """Spans of one process, sent by OTLP over HTTP to where ``OTEL_…`` variables say."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # `Resource.create` lets OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come first.
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "storage-core"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("storage_core.gateway")
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER

    @contextmanager
    def span(self, exchange: Exchange) -> Iterator[None]:
        """The span of one request; a child of the caller's where it sent a traceparent."""
        from opentelemetry.trace import Status, StatusCode

        carrier = {
            name: exchange.headers[name]
            for name in ("traceparent", "tracestate")
            if name in exchange.headers
        }
        context = self._propagator.extract(carrier)
        with self._tracer.start_as_current_span(
            exchange.method, context, kind=self._kind, record_exception=False
        ) as span:
            try:
                yield
            finally:
                span.update_name(f"{exchange.method} {exchange.route}")
                span.set_attributes(_attributes(exchange))
                if exchange.status >= 500:
                    span.set_status(Status(StatusCode.ERROR))

    def close(self) -> None:
        """Send what waits; takes as long as the exporter's time limit at most."""
        self._provider.shutdown()


def _attributes(exchange: Exchange) -> Mapping[str, Any]:
    return {
        "http.request.method": exchange.method,
        "http.response.status_code": exchange.status or 499,
        "http.route": exchange.route,
        "http.request.body.size": exchange.body.count,
        "http.response.body.size": exchange.sent,
        "url.scheme": exchange.scope.get("scheme", "http"),
        "storage.request_id": exchange.request_id,
        "storage.link_id": exchange.link_id,
    }
