"""A database that does not answer, or lets nobody write, keeps the gateway neither from what it
can still do nor from its end."""

from __future__ import annotations

import logging
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from storage_core.access import audit
from storage_core.gateway import GatewaySettings, serve_background, service, trail
from storage_core.state import open_state, postgresql
from tests.gateway.clients import request
from tests.servers.frozen import way_to
from tests.service.routes import FILE
from tests.service.users import new_user
from tests.waiting import PATIENCE, wait_until


def profile(folder: Path) -> dict[str, object]:
    return {"driver": "local", "root": str(folder / "root"), "fsync": False}


def test_who_only_reads_does_not_wait_for_those_who_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    database = f"sqlite:///{tmp_path}/state.db"
    settings = GatewaySettings(facades=("z3", "appfile"), database=database, metrics=False)
    with serve_background(profile(tmp_path), settings=settings) as server:
        state = open_state(database)
        user = new_user(state)
        assert user.ask(f"{server.base_url}/v1/z3/fruit", "PUT").status == 200
        elsewhere = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        writing = threading.Semaphore(0)
        change = service.Service.change

        async def noted(self: service.Service, function: Any, *args: Any, **kwargs: Any) -> Any:
            if function is not audit.record:
                writing.release()
            return await change(self, function, *args, **kwargs)

        monkeypatch.setattr(service.Service, "change", noted)

        def register(number: int) -> int:
            file = {**FILE, "FileName": f"{number}.cc5txt", "ActionId": str(number)}
            return user.ask(f"{server.base_url}/appfile/file/path", "POST", file).status

        with ThreadPoolExecutor(service.READERS + 2) as writers:
            elsewhere.execute("BEGIN IMMEDIATE")
            answers = [writers.submit(register, number) for number in range(service.READERS + 2)]
            for _ in answers:
                assert writing.acquire(timeout=PATIENCE)
            for _ in range(5):
                assert user.ask(f"{server.base_url}/v1/z3").status == 200
                assert request(f"{server.base_url}/ready").status == 200
            assert not any(answer.done() for answer in answers)
            elsewhere.execute("ROLLBACK")
            assert [answer.result(PATIENCE) for answer in answers] == [200] * len(answers)
        elsewhere.close()
        state.close()


def test_a_database_that_stands_still_does_not_keep_the_gateway_from_ending(
    tmp_path: Path,
    postgresql_database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """The events that it could not take are in the log."""
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 8.0)
    monkeypatch.setattr(trail, "TRAIL_SECONDS", 1.0)
    monkeypatch.setattr(service, "_SETTLE_SECONDS", 1.0)
    url = make_url(postgresql_database)
    assert url.port is not None
    state = open_state(postgresql_database)
    with way_to(url.port) as way:
        through = url.set(port=way.port).render_as_string(hide_password=False)
        settings = GatewaySettings(facades=("z3",), database=through, metrics=False)
        server = serve_background(profile(tmp_path), settings=settings)
        user = new_user(state)
        fruit = f"{server.base_url}/v1/z3/fruit"
        assert user.ask(fruit, "PUT").status == 200
        wait_until(lambda: audit.list_events(state, user.principal.project_id) != [])
        way.freeze()
        answer = user.ask(fruit)
        assert answer.status == 503, answer
        assert request(f"{server.base_url}/health").status == 200
        way.thaw()
        wait_until(lambda: user.ask(fruit).status == 200)
        with monkeypatch.context() as patch:
            # It stands still from the moment on that the event is to be written.
            record = audit.record

            def stalled(*given: Any) -> None:
                way.freeze()
                record(*given)

            patch.setattr(audit, "record", stalled)
            assert user.ask(f"{server.base_url}/v1/z3/vegetables", "PUT").status == 200
            with caplog.at_level(logging.CRITICAL, "storage_core.gateway"):
                ending = threading.Thread(target=server.stop)
                ending.start()
                ending.join(PATIENCE)
                assert not ending.is_alive()
    lost = [entry.getMessage() for entry in caplog.records if "audit event lost" in entry.message]
    assert len(lost) == 1
    assert "Z3:vegetables" in lost[0]
    assert user.principal.id in lost[0]
    state.close()
