"""The filesystem that is handed out for other libraries sees what the driver wrote."""

from __future__ import annotations

import secrets

import storage_core
from tests.servers import Server


def test_s3fs_reads_what_the_driver_wrote_and_the_other_way_round(moto: Server) -> None:
    name = f"interop-{secrets.token_hex(4)}"
    with storage_core.open(config=moto.profile) as storage:
        bucket = storage.create_bucket(name)
        bucket.put("a/b c", b"ours", content_type="text/plain")
        filesystem = storage.fsspec_filesystem()
        assert filesystem.cat(f"{name}/a/b c") == b"ours"
        filesystem.pipe(f"{name}/a/d", b"theirs")
        with bucket.get("a/d") as reader:
            assert reader.read() == b"theirs"
        storage.delete_bucket(name, force=True)
