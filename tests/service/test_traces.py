"""Spans, received by a collector that speaks OTLP over HTTP."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from storage_core.gateway import GatewaySettings, serve_background
from storage_core.state import open_state
from tests.gateway.clients import request
from tests.service.users import new_user

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector:
    """Takes what exporters send."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                if self.headers.get("content-encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for sent in self.requests
            for resource in sent.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    made = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120")  # what it gives up, it sends again
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    yield made
    made.server.shutdown()
    made.server.server_close()


def attributes_of(span: Span) -> dict[str, object]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
        for pair in span.attributes
    }


def test_one_span_for_each_request(collector: Collector, tmp_path: Path):
    """All of them are sent before a graceful stop ends."""
    url = f"sqlite:///{tmp_path}/state.db"
    state = open_state(url)
    state.migrate()
    user = new_user(state)
    settings = GatewaySettings(facades=("z3",), database=url, tracing=True, metrics=False)
    profile = {"driver": "local", "root": str(tmp_path / "root"), "fsync": False}
    with serve_background(profile, settings=settings) as server:
        listing = f"{server.base_url}/v1/z3?x=secret-of-a-query"
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "r1"}
        assert user.ask(listing, headers=headers).status == 200
        assert user.ask(listing, headers={"traceparent": "nonsense"}).status == 200
        assert request(f"{server.base_url}/o/a/b?sc-signature=x").status == 403
    state.close()
    first, second, link = sorted(collector.spans, key=lambda span: span.start_time_unix_nano)
    assert first.trace_id.hex() == TRACE
    assert first.parent_span_id.hex() == PARENT
    assert first.kind == Span.SPAN_KIND_SERVER
    assert first.name == "GET z3.list_buckets"
    found = attributes_of(first)
    assert found["http.request.method"] == "GET"
    assert found["http.response.status_code"] == 200
    assert found["http.route"] == "z3.list_buckets"
    assert found["storage.request_id"] == "r1"
    assert second.trace_id.hex() != TRACE
    assert not second.parent_span_id
    assert link.name == "GET link"
    assert attributes_of(link)["http.response.status_code"] == 403
    assert link.status.code == Status.STATUS_CODE_UNSET
    (sent,) = {r.SerializeToString() for q in collector.requests for r in [q.resource_spans[0].resource]}  # fmt: skip
    assert b"storage-core" in sent
    everything = b"".join(sent.SerializeToString() for sent in collector.requests)
    for secret in (user.token, "secret-of-a-query", "sc-signature"):
        assert secret.encode() not in everything


def test_a_collector_that_is_gone_holds_nobody_up(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One that takes spans and never answers: requests are answered, and a stop ends, while
    it is still silent."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    profile = {"driver": "local", "root": str(tmp_path / "root"), "fsync": False}
    with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as accepted:
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        with serve_background(profile, settings=GatewaySettings(tracing=True)) as server:
            assert request(f"{server.base_url}/health").status == 200
            silent.settimeout(120)
            accepted.enter_context(silent.accept()[0])  # the exporter waits for an answer
            for _ in range(50):
                assert request(f"{server.base_url}/health").status == 200
        # Nothing was answered to the collector's client, whose connection is still open here.
    assert not collector.requests


def test_nothing_is_imported_when_it_is_off(tmp_path: Path):
    code = f"""
import sys, urllib.request
from storage_core.gateway import GatewaySettings, serve_background
profile = {{"driver": "local", "root": {str(tmp_path / "root")!r}, "fsync": False}}
with serve_background(profile) as server:
    urllib.request.urlopen(server.base_url + "/ready").read()
names = ("opentelemetry", "prometheus_client", "sqlalchemy", "alembic", "huey", "limits")
print([name for name in names if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
