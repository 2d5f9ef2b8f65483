"""Ten minutes of mixed requests: memory stays flat, and nothing is left open or lying about.

``SOAK_SECONDS`` sets how long, 600 without it. The figures are printed: see them with ``-s``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import statistics
import struct
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import storage_core
from storage_core import Link
from storage_core.model import Method
from tests.gateway.clients import Answer, Raw, request
from tests.service.fleet import LINK_KEY, Fleet, Gateway, fleet
from tests.waiting import wait_until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
CLIENTS = 6
WARM = 3
"""The tenth of the time from which on memory is to grow no more."""
GROWTH = 6
"""MiB it may grow by all the same: allocators keep what they have seen at a peak."""

KIB, MIB = 1024, 1024 * 1024
LARGE = os.urandom(MIB) * 8


@dataclass
class Site:
    """The gateway under load, and what its clients know.

    Attributes:
        bucket: Where links lead that the library makes.
        token: For the Z3 facade.
    """

    fleet: Fleet
    gateway: Gateway
    bucket: storage_core.Bucket
    token: str
    done: Counter[str] = field(default_factory=Counter)

    def link(self, key: str, method: Method = "GET") -> Link:
        return self.bucket.presign(key, method=method)

    def url(self, link: Link | str) -> str:
        """Where the gateway itself takes a link, past the proxy of the fleet."""
        return self.fleet.at(self.gateway, link if isinstance(link, str) else link.url)

    def ask(
        self,
        link: Link | str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        return request(self.url(link), method, headers, body)

    def connect(self) -> Raw:
        parts = urlsplit(self.gateway.url)
        return Raw(socket.create_connection((parts.hostname, parts.port), timeout=60))


# --- what clients do ------------------------------------------------------------------


def get_small(site: Site, _: random.Random) -> None:
    assert site.ask(site.link("small")).body == LARGE[:KIB]


def get_large(site: Site, _: random.Random) -> None:
    assert site.ask(site.link("large")).body == LARGE


def get_range(site: Site, chance: random.Random) -> None:
    start = chance.randrange(len(LARGE) - MIB)
    stop = start + chance.choice((1, 4 * KIB, 64 * KIB, MIB))
    found = site.ask(site.link("large"), headers={"Range": f"bytes={start}-{stop - 1}"})
    assert (found.status, found.body) == (206, LARGE[start:stop])


def get_unchanged(site: Site, _: random.Random) -> None:
    etag = site.ask(site.link("small", "HEAD"), "HEAD").headers["ETag"]
    assert site.ask(site.link("small"), headers={"If-None-Match": etag}).status == 304


def get_nothing(site: Site, _: random.Random) -> None:
    assert site.ask(site.link("none-" + uuid.uuid4().hex)).status == 404


def get_tampered(site: Site, chance: random.Random) -> None:
    url = site.link("small").url
    at = chance.randrange(url.index("?"), len(url))
    changed = url[:at] + chance.choice("AZ09-&=%") + url[at + 1 :]
    assert changed == url or site.ask(changed).status == 403


def put_small(site: Site, chance: random.Random) -> None:
    key = f"put-{chance.randrange(50)}"
    assert (
        site.ask(site.link(key, "PUT"), "PUT", body=LARGE[: chance.randrange(4 * KIB)]).status
        == 200
    )


def put_large(site: Site, chance: random.Random) -> None:
    key = f"put-large-{chance.randrange(3)}"
    assert site.ask(site.link(key, "PUT"), "PUT", body=LARGE[: 3 * MIB]).status == 200


def delete(site: Site, chance: random.Random) -> None:
    key = f"put-{chance.randrange(50)}"
    assert site.ask(site.link(key, "DELETE"), "DELETE").status == 204


def abort_download(site: Site, chance: random.Random) -> None:
    with contextlib.closing(site.connect()) as raw:
        raw.head("GET", site.link("large").url)
        left = chance.randrange(2 * MIB)
        while left > 0:
            left -= len(raw.socket.recv(min(left, 64 * KIB)))
        _hang_up(raw, chance)


def abort_upload(site: Site, chance: random.Random) -> None:
    with contextlib.closing(site.connect()) as raw:
        raw.head("PUT", site.link("never", "PUT").url, f"Content-Length: {4 * MIB}")
        raw.send(LARGE[: chance.randrange(3 * MIB)])
        _hang_up(raw, chance)


def talk_nonsense(site: Site, chance: random.Random) -> None:
    with contextlib.closing(site.connect()) as raw:
        raw.send(chance.choice((b"NONSENSE\r\n\r\n", b"\0" * 100, b"GET / HTTP/1.1\r\nX", b"")))


def use_facade(site: Site, chance: random.Random) -> None:
    """Through the Z3 facade, whose links are looked up in the state."""
    bearer = {"Authorization": f"Bearer {site.token}"}
    place = f"{site.fleet.url}/v1/z3/soak"
    order = b'{"action": "upload"}'
    answer = site.ask(f"{place}/f-{chance.randrange(20)}", "POST", bearer, order)
    url = json.loads(answer.body)["signedUrl"]
    assert site.ask(url, "PUT", body=b"facade").status == 200
    assert site.ask(place, "GET", bearer).status == 200
    assert site.ask(place, "GET", {"Authorization": "Bearer wrong"}).status == 401


def _hang_up(raw: Raw, chance: random.Random) -> None:
    """With a reset half of the time."""
    if chance.random() < 0.5:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Act = Callable[[Site, random.Random], None]
ACTS: dict[Act, int] = {
    get_small: 6,
    get_range: 6,
    get_large: 1,
    get_unchanged: 2,
    get_nothing: 2,
    get_tampered: 3,
    put_small: 4,
    put_large: 1,
    delete: 1,
    abort_download: 2,
    abort_upload: 2,
    talk_nonsense: 1,
    use_facade: 1,
}
"""With how often they come."""


# --- the load, and what is looked at --------------------------------------------------


def run_client(site: Site, seed: int, end: float, failures: list[BaseException]) -> None:
    chance = random.Random(seed)
    acts, shares = list(ACTS), list(ACTS.values())
    done: Counter[str] = Counter()
    try:
        while time.monotonic() < end and not failures:
            (act,) = chance.choices(acts, shares)
            act(site, chance)
            done[act.__name__] += 1
    except BaseException as failure:
        failures.append(failure)
    finally:
        site.done += done


def memory(process: int) -> int:
    """Bytes of a process that are its own: anonymous and not shared."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc")


def descriptors(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


def test_memory_is_flat_and_nothing_is_left_open(tmp_path: Path) -> None:
    profile: dict[str, object] = {
        "driver": "local",
        "root": str(tmp_path / "root"),
        "fsync": False,
    }
    with (
        fleet(tmp_path, profile, f"sqlite:///{tmp_path / 'state.db'}", count=1) as served,
        storage_core.open(config={**profile, "links": _links(served)}) as storage,
    ):
        gateway = served.gateways[0]
        bucket = storage.create_bucket("soak-of-links")
        bucket.put("small", LARGE[:KIB])
        bucket.put("large", LARGE)
        site = Site(served, gateway, bucket, str(gateway.told["token"]))
        bearer = {"Authorization": f"Bearer {site.token}"}
        assert site.ask(f"{served.url}/v1/z3/soak", "PUT", bearer).status == 200
        for act in ACTS:  # each once, so that all is open that stays so
            act(site, random.Random(0))
        pid = gateway.process.pid
        wait_until(lambda: connections(pid) == 0)
        open_before = descriptors(pid)
        samples = load(site, pid)
        wait_until(lambda: connections(pid) == 0)
        # A bound, as worker threads of the database come to hold a connection each.
        wait_until(lambda: descriptors(pid) <= open_before + 2 * 32)
        left = [path for path in (tmp_path / "root").rglob("tmp/*") if path.is_file()]
        open_after = descriptors(pid)
    tenths = [statistics.median(part(samples, at / 10, (at + 1) / 10)) / MIB for at in range(10)]
    print(
        f"\n{SECONDS:.0f} s, {sum(site.done.values())} acts of {CLIENTS} clients:"
        f" {dict(sorted(site.done.items()))}"
        f"\nmemory, median MiB of each tenth: {', '.join(f'{one:.1f}' for one in tenths)};"
        f" most {max(samples) / MIB:.1f}; descriptors: {open_before}, then {open_after}"
    )
    assert tenths[-1] - tenths[WARM] <= GROWTH
    assert not left, "aborted uploads left files"


def _links(served: Fleet) -> dict[str, object]:
    return {"base_url": served.url, "keys": {"k1": LINK_KEY}}


def load(site: Site, pid: int) -> list[int]:
    """Run the clients for their time; the memory of the process, sampled all along."""
    end = time.monotonic() + SECONDS
    failures: list[BaseException] = []
    clients = [
        threading.Thread(target=run_client, args=(site, number, end, failures))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    samples = []
    for client in clients:
        while client.is_alive():
            samples.append(memory(pid))
            client.join(SECONDS / 600)
    if failures:
        raise failures[0]
    assert set(site.done) == {act.__name__ for act in ACTS}, "not everything came to pass"
    return samples


def part(samples: list[int], start: float, stop: float) -> list[int]:
    return samples[int(len(samples) * start) : max(1, int(len(samples) * stop))]


def connections(pid: int) -> int:
    """Open connections of a process to its clients."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(entry))
    established = 0
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        established += fields[3] != "0A" and f"socket:[{fields[9]}]" in sockets
    return established
