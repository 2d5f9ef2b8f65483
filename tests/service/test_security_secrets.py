"""No secret is written where others read: logs, answers, the database, the process list.

`docs/security.md` names these tests. Gateways are `storage serve` processes here.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import sqlalchemy

from storage_core.state import State
from tests.gateway.clients import Answer, request
from tests.servers import Server
from tests.servers.postgres import PASSWORD, USER
from tests.service.fleet import LINK_KEY, SCRIPT, Fleet, fleet
from tests.service.routes import FILE
from tests.service.users import ask, new_user

WRONG_TOKEN = f"sc_{'7' * 26}_{'wrong-secret-that-someone-sent-instead-of-it'[:43]}"


@dataclass
class Seen:
    """What became visible, and what must not be in it."""

    shown: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    def answer(self, answer: Answer) -> Answer:
        """Keep an answer, which a client may log as a whole."""
        self.shown["answers"] = self.shown.get("answers", "") + f"{answer.headers}{answer.body!r}"
        return answer

    def token(self, name: str, token: str) -> str:
        self.secrets[name] = token[30:]
        return token

    def link(self, name: str, answer: Answer) -> str:
        """The link in an answer; its signature is a secret everywhere else."""
        found = re.search(r"http://[^\"]+", answer.body.decode())
        assert found, answer
        query = dict(parse_qsl(urlsplit(found[0]).query))
        self.secrets[name] = max(query.values(), key=len)
        assert len(self.secrets[name]) >= 40
        return found[0]

    def leaks(self) -> list[tuple[str, str]]:
        return [
            (secret, place)
            for secret, value in self.secrets.items()
            for place, text in self.shown.items()
            if value in text
        ]


@contextmanager
def serving(folder: Path, database: str) -> Iterator[Fleet]:
    """One gateway."""
    profile = {"driver": "local", "root": str(folder / "root"), "fsync": False}
    with fleet(folder, profile, database, count=1) as running:
        yield running


def test_no_secret_in_logs_answers_database_or_process_list(tmp_path: Path, database_url: str):
    with serving(tmp_path, database_url) as running:
        seen = _used(running, tmp_path)
    assert seen.leaks() == []


def _used(running: Fleet, tmp_path: Path) -> Seen:
    (gateway,) = running.gateways
    seen = Seen(secrets={"link key": LINK_KEY, "password of the database": PASSWORD})
    first = seen.token("first token", gateway.told["token"])
    user = new_user(running.state)
    token = seen.token("token", user.token)
    seen.token("wrong token", WRONG_TOKEN)
    url = f"{gateway.url}/v1/z3/fruit"

    seen.answer(ask(url, "PUT", first))
    for wrong in (WRONG_TOKEN, token + "x", token[:-1]):
        seen.answer(ask(url, token=wrong))
        seen.answer(ask(f"{url}?token={token}", token=wrong))
    order = {"action": "upload"}
    put = running.at(gateway, seen.link("upload link", ask(f"{url}/a", "POST", token, order)))
    order = {"action": "download"}
    get = running.at(gateway, seen.link("download link", ask(f"{url}/a", "POST", token, order)))
    file = ask(f"{gateway.url}/appfile/file/path", "POST", token, {**FILE, "BucketId": "fruit"})
    registered = running.at(gateway, seen.link("file link", file))
    seen.answer(request(put, body=b"x", method="PUT"))
    seen.answer(request(get))
    seen.answer(request(registered, "PUT", body=b"x"))
    for altered in (get + "x", get.replace("fruit", "pears")):
        seen.answer(request(altered, headers={"Referer": get}))
    for page in ("/metrics", "/openapi.json", "/docs", "/ready", "/health"):
        seen.answer(ask(gateway.url + page, token=token))
    seen.shown["process list"] = process_list(gateway.process.pid)
    user.revoke()
    seen.answer(request(get))
    break_database(running.state)
    failed = seen.answer(ask(url, token=token))
    assert failed.status >= 500
    seen.answer(request(registered, "PUT", body=b"x"))

    gateway.process.terminate()
    gateway.process.wait(90)
    seen.shown["log"] = running.logs()
    seen.shown["database"] = dump(running.state)
    for path in tmp_path.rglob("*"):
        # The configuration holds secrets, which is why only its owner can read it.
        if path.is_file() and path.name != "storage.toml":
            seen.shown[f"file {path.name}"] = path.read_bytes().decode("latin-1")
        if path.suffix.startswith(".db"):
            assert path.stat().st_mode & 0o077 == 0, f"others may read {path.name}"

    assert "/v1/z3/fruit/a" in seen.shown["log"]
    assert "Traceback" in seen.shown["log"]
    assert user.credential.id in seen.shown["database"]
    assert "serve" in seen.shown["process list"]
    return seen


def process_list(pid: int) -> str:
    """Command lines of a process and of those it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = [Path(f"/proc/{one}/cmdline").read_bytes() for one in (pid, *children)]
    return b"\n".join(lines).replace(b"\0", b" ").decode()


def break_database(state: State) -> None:
    """Have every authentication fail with an error of the database."""
    with state.write() as connection:
        connection.exec_driver_sql("ALTER TABLE credentials RENAME TO mislaid")


def dump(state: State) -> str:
    """Every row of every table."""
    with state.read() as connection:
        names = sqlalchemy.inspect(connection).get_table_names()
        assert "mislaid" in names
        return "\n".join(
            f"{name}: {row}"
            for name in names
            for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"')
        )


def test_a_database_that_refuses_is_told_without_its_password(tmp_path: Path, postgres: Server):
    port = urlsplit(postgres.endpoint).port
    config = tmp_path / "storage.toml"
    for url in (
        f"postgresql://{USER}:not-the-word@127.0.0.1:{port}/postgres",
        f"postgresql://{USER}:not-the-word@[::1/postgres",
    ):
        config.write_text(
            f'[gateway]\nfacades = ["z3"]\ndatabase = "{url}"\n'
            f'[profiles.local]\ndriver = "local"\nroot = "{tmp_path / "root"}"\n'
        )
        done = subprocess.run(
            [SCRIPT, "serve", "--config", str(config), "--port", "0"],
            env={**os.environ, "COLUMNS": "500"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode not in (0, -9)
        assert "database" in done.stderr
        assert "not-the-word" not in done.stdout + done.stderr, url
