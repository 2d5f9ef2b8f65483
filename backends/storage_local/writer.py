"""Put: a small body becomes a record, a larger one a data file and a record."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from storage_core.checksum import PIECE, Hasher, crc32c, digest, new
from storage_core.errors import IntegrityError
from storage_core.model import EMPTY, NO_ATTRIBUTES, NO_CONDITIONS, Attributes, Buffer, Conditions
from storage_core.requests import PutRequest
from storage_core.streams import Body
from storage_local import syscalls
from storage_local.bucket import Bucket
from storage_local.commit import publish
from storage_local.data import NewData
from storage_local.layout import Root
from storage_local.record import Record, describe, expiry, needs_key, new_id, pack


async def put(root: Root, request: PutRequest) -> Record:
    """Store an object; see `Driver.put`."""
    body = request.body
    data: Buffer | None = body.data
    limit = root.options.inline_size
    if data is None and body.size is not None and body.size <= limit:
        root.run(request.bucket, Bucket.check_present)  # before the body is read in vain
        data = b"".join([bytes(piece) async for piece in body])
    if data is None or len(data) > limit:
        return await _put_large(root, request)
    identity = new_id()
    raw = pack_object(
        identity,
        len(data),
        body_crc(body, data),
        request.key,
        request.attributes,
        kept(request.keep, body),
        request.write_id,
        digest("md5", data).hex() if root.options.md5_etags else None,
        data,
    )
    return root.run(
        request.bucket, lambda bucket: publish(bucket, request.key, raw, request.conditions)
    )


async def _put_large(root: Root, request: PutRequest) -> Record:
    bucket = root.run(request.bucket, _present)
    identity = new_id()
    body = request.body
    md5 = new("md5") if root.options.md5_etags else None
    with root.present(bucket), NewData(bucket, identity.hex(), body.size) as new_data:
        size, crc = await write_body(new_data.fd, body, md5)
        new_data.sync()
        raw = pack_object(
            identity,
            size,
            crc,
            request.key,
            request.attributes,
            kept(request.keep, body),
            request.write_id,
            md5.digest().hex() if md5 else None,
        )
        return publish_data(bucket, request.key, new_data, raw, request.conditions)


def _present(bucket: Bucket) -> Bucket:
    bucket.check_present()
    return bucket


async def write_body(fd: int, body: Body, extra: Hasher | None) -> tuple[int, int]:
    """Write a body to a new file; its size and CRC32C.

    Args:
        fd: Of the file, which is empty.
        body: The bytes. Those of a file on the same file system are cloned where it can.
        extra: Hashes them too.
    """
    if body.data is not None:
        syscalls.write_all(fd, body.data)
        if extra is not None:
            extra.update(body.data)
        return len(body.data), body_crc(body, body.data)
    source = body.file
    if source is not None and syscalls.clone_range(source.fd, fd, source.offset, source.length):
        os.lseek(fd, source.length, os.SEEK_SET)
        return source.length, await _clone_crc(fd, body, extra)
    own = None if body.computes("crc32c") else new("crc32c")
    hashers = [hasher for hasher in (own, extra) if hasher is not None]
    async for piece in body:
        for hasher in hashers:
            hasher.update(piece)
        syscalls.write_all(fd, piece)
    found = own.digest().hex() if own is not None else body.digest("crc32c")
    return body.count, int(found, 16)


async def _clone_crc(fd: int, body: Body, extra: Hasher | None) -> int:
    """CRC32C of a body that was cloned, read from the clone: the source may change."""
    position = crc = 0
    async for piece in body.slices():
        stop = position + piece.length
        while position < stop:
            data = os.pread(fd, min(PIECE, stop - position), position)
            if not data:
                raise IntegrityError("the file became shorter while it was read")
            crc = crc32c(data, crc)
            if extra is not None:
                extra.update(data)
            position += len(data)
    return crc


def body_crc(body: Body, data: Buffer) -> int:
    """CRC32C of a body that is in memory."""
    try:
        return int(body.digest("crc32c"), 16)
    except KeyError:
        return crc32c(data)


def kept(keep: tuple[str, ...], body: Body) -> Mapping[str, str]:
    """The digests to store with the object besides CRC32C."""
    if not keep or keep == ("crc32c",):
        return EMPTY
    return {name: body.digest(name) for name in keep}


def pack_object(
    identity: bytes,
    size: int,
    crc: int,
    key: str,
    attributes: Attributes,
    checksums: Mapping[str, str] = EMPTY,
    write_id: str | None = None,
    etag: str | None = None,
    data: Buffer | None = None,
) -> bytes:
    """The record of a new object, written now."""
    now = time.time_ns()
    if attributes is NO_ATTRIBUTES and not checksums and write_id is etag is None:
        details = {"keys": [key]} if needs_key(key) else EMPTY
        expires = 0
    else:
        details = describe(key, attributes, checksums=checksums, write_id=write_id, etag=etag)
        expires = expiry(attributes.expires_at)
    return pack(
        identity=identity,
        size=size,
        crc=crc,
        modified=now,
        order=now,
        expires=expires,
        details=details,
        data=data,
    )


def publish_data(
    bucket: Bucket,
    key: str,
    new_data: NewData,
    raw: bytes,
    conditions: Conditions = NO_CONDITIONS,
) -> Record:
    """Publish a written data file and its record."""
    with bucket.lock():
        bucket.check_present()
        new_data.publish()
        return publish(bucket, key, raw, conditions)
