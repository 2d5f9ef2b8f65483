"""OpenStack Swift with its S3 interface: a second S3 that checks signatures, of another make.

Four processes: proxy, account, container and object server, over one device folder.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.base import (
    Processes,
    Server,
    free_ports,
    install,
    installed,
    started,
)

NAME = "swift"
UNCHECKED = {"J": "that a condition and its write are one step"}
"""What passes there whatever it is, by category of the suite."""
REQUIREMENTS = Path(__file__).parent / "packages" / "swift" / "requirements.txt"
STORES = {
    "account": "swift.account.server",
    "container": "swift.container.server",
    "object": "swift.obj.server",
}
"""The servers behind the proxy, and their modules."""

USERS = {"default": ("test:tester", "the-secret-of-the-first-user")}
USERS["denied"] = ("test:stranger", "the-secret-of-another-user")

COMMON = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
workers = 0
user = {user}
log_level = ERROR
log_statsd_host =
"""

STORE = """
[pipeline:main]
pipeline = {name}-server

[app:{name}-server]
use = egg:swift#{name}
"""

PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck listing_formats s3api tempauth bulk copy slo dlo \
versioned_writes symlink proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:gatekeeper]
use = egg:swift#gatekeeper

[filter:healthcheck]
use = egg:swift#healthcheck

[filter:listing_formats]
use = egg:swift#listing_formats

[filter:s3api]
use = egg:swift#s3api
location = us-east-1
max_upload_part_num = 10000

[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {tester} .admin
user_test_stranger = {stranger}

[filter:bulk]
use = egg:swift#bulk

[filter:copy]
use = egg:swift#copy

[filter:slo]
use = egg:swift#slo
max_manifest_segments = 10000

[filter:dlo]
use = egg:swift#dlo

[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true

[filter:symlink]
use = egg:swift#symlink
"""


@contextmanager
def start() -> Iterator[Server]:
    """Swift on free ports, installed first if need be.

    Raises:
        MissingServerError: it can not be installed.
        StartError: it did not start.
    """
    prepare()
    with started(_launch, NAME) as server:
        yield server


def prepare() -> Path:
    """The folder of its virtual environment.

    Raises:
        MissingServerError: it can not be installed.
    """
    wanted = REQUIREMENTS.read_bytes() + sys.version.encode()
    return installed(f"swift-{hashlib.sha256(wanted).hexdigest()[:12]}", _install)


def _install(folder: Path) -> None:
    install([sys.executable, "-m", "venv", folder], folder)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input")
    patience = ("--retries", "10", "--timeout", "60")
    install([*pip, *patience, "--disable-pip-version-check", "-r", REQUIREMENTS], folder)


def _launch(processes: Processes) -> Server:
    python = prepare() / "bin" / "python"
    folder = processes.folder
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = conformance\n")
    *store_ports, port = free_ports(len(STORES) + 1)
    origin = "http://127.0.0.1:"
    common = {"folder": folder, "user": pwd.getpwuid(os.getuid()).pw_name}
    for name, store_port in zip(STORES, store_ports, strict=True):
        _ring(processes, python, name, store_port)
        conf = folder / f"{name}-server.conf"
        conf.write_text((COMMON + STORE).format(name=name, port=store_port, **common))
        processes.spawn(name, python, "-m", STORES[name], conf)
    conf = folder / "proxy-server.conf"
    secrets = {"tester": USERS["default"][1], "stranger": USERS["denied"][1]}
    conf.write_text((COMMON + PROXY).format(port=port, **common, **secrets))
    processes.spawn("proxy", python, "-m", "swift.proxy.server", conf)
    # A proxy that can not reach one of the others leaves it alone for a minute.
    for store_port in store_ports:
        processes.wait_http(f"{origin}{store_port}", lambda status: status != 0)
    endpoint = f"{origin}{port}"
    processes.wait_http(f"{endpoint}/healthcheck")
    version = processes.run(
        python, "-c", "from importlib.metadata import version; print(version('swift'), end='')"
    )
    return processes.server(NAME, version, endpoint, profiles(endpoint))


def _ring(processes: Processes, python: Path, name: str, port: int) -> None:
    """One device, one copy, sixteen partitions."""
    builder = f"{name}.builder"
    for words in (
        ("create", "4", "1", "0"),
        ("add", f"r1z1-127.0.0.1:{port}/d1", "1"),
        ("rebalance",),
    ):
        processes.run(python, "-m", "swift.cli.ringbuilder", builder, *words)


def profiles(endpoint: str) -> dict[str, dict[str, object]]:
    """What profiles of it say."""
    profile: dict[str, object] = {
        "driver": "s3",
        "preset": "swift",
        "endpoint_url": endpoint,
        "region": "us-east-1",
        "addressing": "path",
    }
    profiles = {
        name: {**profile, "access_key_id": access, "secret_access_key": secret}
        for name, (access, secret) in USERS.items()
    }
    wrong = {**profiles["default"], "secret_access_key": "not-the-secret-of-this-user"}
    return {**profiles, "wrong_credentials": wrong}
