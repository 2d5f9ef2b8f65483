"""The view in a real Flask application behind a real server."""

from __future__ import annotations

import hashlib
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import flask
import flask.views
import pytest
import requests
from werkzeug.serving import make_server

from storage_core.compat import keg
from storage_core.compat.keg import LocalFSStorage, ShareLinkOperation

SECRET = b"0123456789abcdef0123456789abcdef"
DATA = bytes(range(256)) * 40_000  # 10 MB


class Storage(LocalFSStorage):
    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


class LinkView(keg.LinkViewMixin, flask.views.MethodView):
    def get_storage_backend(self) -> keg.InternalLinksStorageBackend:
        backend = flask.current_app.storage.get_interface("files")  # type: ignore[attr-defined]
        assert isinstance(backend, keg.InternalLinksStorageBackend)
        return backend


class Pictures(keg.StorageOperations):
    storage_location = "Pictures"


@dataclass
class Site:
    app: flask.Flask
    backend: Storage
    root: Path
    url: str

    def link(self, operation: str | ShareLinkOperation, path: str = "a.txt", **kwargs) -> str:
        expire = datetime.now(UTC) + timedelta(hours=1)
        with self.app.test_request_context(base_url=self.url):
            return self.backend.link_to(path, operation, expire, **kwargs)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    app = flask.Flask(__name__)
    app.config["KEG_STORAGE_PROFILES"] = [
        (
            Storage,
            {
                "name": "files",
                "root": tmp_path,
                "linked_endpoint": "links",
                "secret_key": SECRET,
            },
        )
    ]
    plugin = keg.Storage(app)
    app.add_url_rule("/storage", view_func=LinkView.as_view("links"))

    @app.post("/pictures")
    def pictures() -> dict[str, str]:
        kwargs = dict(flask.request.args)
        return {"name": Pictures.storage_upload_form_file("picture", **kwargs)}

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    backend = plugin.get_interface()
    assert isinstance(backend, Storage)
    yield Site(app, backend, tmp_path, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


def status(method: str, url: str, **kwargs) -> int:
    return requests.request(method, url, timeout=60, **kwargs).status_code


def test_get_streams(site: Site):
    (site.root / "a.txt").write_bytes(DATA)
    with requests.get(site.link("d"), stream=True, timeout=60) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-length"] == str(len(DATA))
        assert "content-disposition" not in answer.headers
        digest = hashlib.sha256()
        for piece in answer.iter_content(65536):
            digest.update(piece)
    assert digest.digest() == hashlib.sha256(DATA).digest()
    answer = requests.head(site.link("d"), timeout=60)
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(DATA)))


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_uploads_answer_ok(site: Site, method: str):
    answer = requests.request(method, site.link("u", "new/a.txt"), data=DATA, timeout=60)
    assert (answer.status_code, answer.text) == (200, "OK")
    assert (site.root / "new/a.txt").read_bytes() == DATA


def test_an_upload_may_have_any_content_type_and_come_in_chunks(site: Site):
    for sent in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        url = site.link("u")
        assert status("POST", url, data=b"a=1", headers={"content-type": sent}) == 200
        assert (site.root / "a.txt").read_bytes() == b"a=1"
    assert status("PUT", site.link("u"), data=iter([b"ab", b"cd"])) == 200
    assert (site.root / "a.txt").read_bytes() == b"abcd"


def test_an_upload_that_breaks_off_leaves_what_was_there(site: Site):
    (site.root / "a.txt").write_bytes(b"old")
    parts = urlsplit(site.link("u"))
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as line:
        head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        line.sendall(head.encode() + b"half")
        line.shutdown(socket.SHUT_WR)
        while line.recv(65536):
            pass
    assert (site.root / "a.txt").read_bytes() == b"old"
    assert [one.name for one in site.root.iterdir()] == ["a.txt"]


def test_delete(site: Site):
    (site.root / "a.txt").write_bytes(b"red")
    answer = requests.delete(site.link("r"), timeout=60)
    assert (answer.status_code, answer.text) == (200, "OK")
    assert not (site.root / "a.txt").exists()


def test_one_link_for_everything(site: Site):
    url = site.link(
        ShareLinkOperation.download | ShareLinkOperation.upload | ShareLinkOperation.remove
    )
    assert status("PUT", url, data=b"red") == 200
    assert requests.get(url, timeout=60).content == b"red"
    assert status("DELETE", url) == 200
    assert status("GET", url) == 404


@pytest.mark.parametrize("query", ["", "?token", "?token=", "?output_path=x"])
def test_no_token_is_404(site: Site, query: str):
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert status(method, f"{site.url}/storage{query}", data=b"") == 404


def test_refusals(site: Site):
    (site.root / "a.txt").write_bytes(b"red")
    for letters, methods in (
        ("d", ("POST", "PUT", "DELETE")),
        ("u", ("GET", "DELETE")),
        ("r", ("GET", "POST", "PUT")),
    ):
        for method in methods:
            assert status(method, site.link(letters), data=b"new") == 403
    assert status("GET", site.link("d")[:-9]) == 403
    assert status("PATCH", site.link("dur")) == 405
    assert status("GET", site.link("d", "nothing")) == 404
    url = site.link("dur")
    site.backend.ahead = timedelta(hours=1)
    for method in ("GET", "PUT", "DELETE"):
        assert status(method, url, data=b"new") == 403
    assert (site.root / "a.txt").read_bytes() == b"red"


def test_the_name_of_a_download_is_signed(site: Site):
    (site.root / "a.txt").write_bytes(b"red")
    url = site.link("d", output_path="myfile.txt")
    for asked in (url, f"{url}&output_path=evil.exe", f"{url}&output_path=a%0d%0aX:1"):
        answer = requests.get(asked, timeout=60)
        assert answer.headers["content-disposition"] == 'attachment; filename="myfile.txt"'
    asked = f"{site.link('d')}&output_path=evil.exe"
    assert "content-disposition" not in requests.get(asked, timeout=60).headers


def test_a_client_that_goes_away_leaves_no_file_open(site: Site, monkeypatch: pytest.MonkeyPatch):
    (site.root / "a.txt").write_bytes(DATA * 4)
    closed = threading.Event()
    real = site.backend.open

    def watched(*args, **kwargs):
        file = real(*args, **kwargs)
        end = file.close

        def close() -> None:
            end()
            closed.set()

        monkeypatch.setattr(file, "close", close)
        return file

    monkeypatch.setattr(site.backend, "open", watched)
    parts = urlsplit(site.link("d"))
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.request("GET", f"{parts.path}?{parts.query}")
    assert connection.getresponse().read(10)
    connection.close()
    assert closed.wait(60)


def test_form_files(site: Site):
    """Location and profile of the call count, as everywhere."""
    files = {"picture": ("me.PNG", b"red")}
    name = requests.post(f"{site.url}/pictures", files=files, timeout=60).json()["name"]
    assert name.endswith(".PNG")
    assert (site.root / "Pictures" / name).read_bytes() == b"red"
    url = f"{site.url}/pictures?storage_location=Other&storage_profile=files"
    name = requests.post(url, files=files, timeout=60).json()["name"]
    assert (site.root / "Other" / name).read_bytes() == b"red"
    assert requests.post(f"{site.url}/pictures", timeout=60).status_code == 400


def test_the_view_is_exempt_from_csrf_where_the_application_is_known():
    """Flask-WTF keeps its extension under this name and is asked by this method."""

    class Protection:
        def __init__(self) -> None:
            self.exempted: list[object] = []

        def exempt(self, view):
            self.exempted.append(view)
            return view

    app = flask.Flask(__name__)
    app.extensions["csrf"] = protection = Protection()
    with app.app_context():
        view = LinkView.as_view("links")
    assert protection.exempted == [view]
