"""What fsspec is told of an object or a directory: one dictionary each.

The names are those of s3fs where it has one (``ETag``, ``LastModified``, ``ContentType``,
``VersionId``), because programs look for them, and ours for the rest. What is not known is
absent.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeAlias

from storage_core.model import BucketInfo, ObjectInfo, ObjectSummary

Entry: TypeAlias = dict[str, Any]


def directory(path: str) -> Entry:
    """A prefix, a bucket or a profile."""
    return {"name": path, "size": 0, "type": "directory"}


def of_bucket(path: str, bucket: BucketInfo) -> Entry:
    """A bucket."""
    entry = directory(path)
    if bucket.created is not None:
        entry["created"] = bucket.created
    return entry


def of_summary(root: str, found: ObjectSummary) -> Entry:
    """An object of a listing; ``root`` is what stands before its key."""
    entry = _file(root + found.key, found.size, found.etag, found.modified)
    if found.checksums:
        entry["checksums"] = dict(found.checksums)
    return entry


def of_info(root: str, info: ObjectInfo) -> Entry:
    """An object that was asked for by itself."""
    entry = _file(root + info.key, info.size, info.etag, info.modified)
    known = {
        "ContentType": info.content_type,
        "ContentEncoding": info.content_encoding,
        "ContentDisposition": info.content_disposition,
        "ContentLanguage": info.content_language,
        "CacheControl": info.cache_control,
        "VersionId": info.version,
        "Expires": info.expires_at,
    }
    entry |= {name: value for name, value in known.items() if value is not None}
    if info.metadata:
        entry["metadata"] = dict(info.metadata)
    if info.checksums:
        entry["checksums"] = dict(info.checksums)
    return entry


def _file(path: str, size: int, etag: str | None, modified: datetime) -> Entry:
    entry: Entry = {
        "name": path,
        "size": size,
        "type": "file",
        "LastModified": modified,
        "mtime": modified.timestamp(),
    }
    if etag is not None:
        entry["ETag"] = etag
    return entry


def mark(entry: Entry) -> tuple[str, ...]:
    """What changes whenever the bytes behind an entry do."""
    if entry["type"] == "directory":
        return (str(entry["name"]), "directory")
    known = ("ETag", "VersionId") if "ETag" in entry else ("LastModified", "size")
    return (str(entry["name"]), *(str(entry.get(name)) for name in known))
