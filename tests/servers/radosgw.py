"""Ceph's radosgw: S3 of another make, which does check signatures, expiry and who may do what.

A monitor, one object storage daemon that keeps its objects in memory, and the gateway; without
systemd, manager or root, everything in one folder.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.base import (
    MissingServerError,
    Processes,
    Server,
    StartError,
    free_ports,
    started,
)

NAME = "radosgw"
UNCHECKED = {"M": "digests in `x-amz-checksum-*`; Content-MD5 is checked"}
"""What passes there whatever it is, by category of the suite."""
PROGRAMS = ("ceph-authtool", "monmaptool", "ceph-mon", "ceph-osd", "ceph", "radosgw")
PACKAGES = ("ceph-mon", "ceph-osd", "radosgw", "ceph-common")
"""Debian and Ubuntu have the programs in these packages."""
STEP_SECONDS = 120.0

CONFIGURATION = """\
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = v1:127.0.0.1:{mon}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
keyring = {folder}/keyring
run_dir = {folder}
log_file =
log_to_file = false
log_to_stderr = true
err_to_stderr = true
mon_cluster_log_to_file = false
admin_socket =
pid_file = {folder}/$name.pid
crash_dir = {folder}
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}/rgw
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
paxos_propose_interval = 0.05
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
memstore_device_bytes = 2G
osd_class_load_list = *
osd_class_default_list = *
osd_max_object_name_len = 2048
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_dns_name = localhost
rgw_enable_apis = s3, admin
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 5
rgw_gc_processor_max_time = 5
"""

KEYS = {
    "default": ("CONFORMANCE", "the-secret-of-the-first-user"),
    "denied": ("STRANGER", "the-secret-of-another-user"),
}


@contextmanager
def start() -> Iterator[Server]:
    """radosgw on a free port, with two users.

    Raises:
        MissingServerError: Ceph's programs are not on this machine.
        StartError: it did not start.
    """
    if lacking := missing():
        raise MissingServerError(how_to_install(lacking))
    with started(_launch, NAME) as server:
        yield server


def missing() -> list[str]:
    """The programs that are not on this machine."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def how_to_install(lacking: list[str]) -> str:
    """What to do about programs that are missing."""
    command = f"apt-get install --no-install-recommends {' '.join(PACKAGES)}"
    return f"{', '.join(lacking)} not found: {command}"


def _launch(processes: Processes) -> Server:
    folder = processes.folder
    processes.grace = 0.0  # they take seconds over their end, and nothing of them is kept
    mon, port = free_ports(2)
    fsid = str(uuid.uuid4())
    conf = folder / "ceph.conf"
    conf.write_text(CONFIGURATION.format(fsid=fsid, mon=mon, port=port, folder=folder))
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    _monitor(processes, conf, fsid, mon)
    _objects(processes, conf)
    processes.spawn(NAME, "radosgw", "-c", conf, "-n", "client.rgw", "-f")
    endpoint = f"http://127.0.0.1:{port}"
    for user, (access, secret) in KEYS.items():
        words = ("user", "create", "--uid", user, "--display-name", user)
        keys = ("--access-key", access, "--secret-key", secret)
        _step(processes, "radosgw-admin", "-c", conf, "-n", "client.rgw", *words, *keys)
    processes.wait_http(endpoint)
    version = re.search(r"ceph version ([0-9.]+)", processes.run("radosgw", "--version"))
    return processes.server(
        NAME, version[1] if version else "unknown", endpoint, profiles(endpoint)
    )


def _monitor(processes: Processes, conf: Path, fsid: str, port: int) -> None:
    keyring, monmap = processes.folder / "keyring", processes.folder / "monmap"
    for name in ("mon.", "client.admin", "client.rgw", "osd.0"):
        grants = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
        create = () if keyring.exists() else ("--create-keyring",)
        processes.run("ceph-authtool", keyring, *create, "--gen-key", "-n", name, *grants)
    place = f"[v1:127.0.0.1:{port}]"
    processes.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", place, monmap)
    files = ("--monmap", monmap, "--keyring", keyring)
    processes.run("ceph-mon", "-c", conf, "--mkfs", "-i", "a", *files)
    processes.spawn("mon", "ceph-mon", "-c", conf, "-i", "a", "-f")


def _objects(processes: Processes, conf: Path) -> None:
    osd = str(uuid.uuid4())
    _step(processes, "ceph", "-c", conf, "osd", "new", osd, "0", "--connect-timeout", "10")
    processes.run("ceph-osd", "-c", conf, "-i", "0", "--mkfs", "--osd-uuid", osd)
    processes.spawn("osd", "ceph-osd", "-c", conf, "-i", "0", "-f")
    processes.wait("osd.0", lambda: " 1 up" in processes.run("ceph", "-c", conf, "osd", "stat"))


def _step(processes: Processes, *command: str | Path) -> None:
    """Run a command, again while it fails: a monitor that has just begun answers the first
    command of a client without authentication now and then with EPERM, "wrong fsid"."""
    end = time.monotonic() + STEP_SECONDS
    while True:
        try:
            processes.run(*command)
        except StartError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def profiles(endpoint: str) -> dict[str, dict[str, object]]:
    """What profiles of it say."""
    profile: dict[str, object] = {
        "driver": "s3",
        "preset": "ceph",
        "endpoint_url": endpoint,
        "region": "us-east-1",
        "addressing": "path",
    }
    profiles = {
        name: {**profile, "access_key_id": access, "secret_access_key": secret}
        for name, (access, secret) in KEYS.items()
    }
    wrong = {**profiles["default"], "secret_access_key": "not-the-secret-of-this-user"}
    return {**profiles, "wrong_credentials": wrong}
