"""The driver over fsspec's filesystems: SFTP, WebDAV, HDFS, SMB, FTP, memory and others.

A filesystem gives less than an object service, and the capabilities say so: no conditions,
versions, tags or sessions. What it does offer keeps the contract: any key, headers and metadata,
checksums that are verified, and writes that appear as a whole where the filesystem can rename
in one step.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from storage_core.checksum import ALGORITHMS
from storage_core.driver import IO, Driver
from storage_core.errors import (
    BucketExistsError,
    BucketNotEmptyError,
    BucketNotFoundError,
    ConfigError,
    InvalidRequestError,
    ObjectNotFoundError,
    StorageError,
    UnavailableError,
)
from storage_core.model import (
    NO_ATTRIBUTES,
    BucketInfo,
    Capabilities,
    DeleteResult,
    ObjectInfo,
    ObjectSummary,
    Page,
    Prefix,
    PutResult,
)
from storage_core.requests import (
    DeleteRequest,
    GetRequest,
    HeadRequest,
    ListBucketsRequest,
    ListRequest,
    PutRequest,
)
from storage_core.streams import BytesStream, ObjectStream
from storage_fsspec import errors, listing, names, times, trailer
from storage_fsspec.serial import Serial, shareable
from storage_fsspec.stream import BLOCK, FileStream
from storage_fsspec.trailer import Trailer

if TYPE_CHECKING:
    from pydantic import BaseModel

_MARK = f"{names.INTERNAL}/bucket"
_SPARE = f"{names.INTERNAL}/temporary"
_REFUSING = frozenset(("file", "local"))
"""Protocols whose ``rmdir`` is that of this operating system, which refuses a directory that is
not empty (POSIX.1, rmdir). fsspec's memory looks first, a DELETE of WebDAV takes all that is in it
along (RFC 4918 section 9.6.1), and what a server of SFTP does is its own."""


class _Found(NamedTuple):
    """The file of an object."""

    path: str
    info: ObjectInfo
    data: bytes | None = None


class FsspecDriver(Driver):
    """Buckets are directories below `FsspecSettings.root`, objects are files in them."""

    name = "fsspec"
    supported_io: frozenset[IO] = frozenset(("blocking",))

    def __init__(self, settings: BaseModel) -> None:
        super().__init__(settings)
        self._fs: Any = None
        self._root = ""
        self.capabilities = Capabilities(
            max_object_size=2**63 - 1,
            max_put_size=2**63 - 1,
            unsized_put=True,
            checksums=frozenset(ALGORITHMS),
            default_checksum="crc32c",
            ordered_listing=True,
            atomic_bucket_delete=getattr(settings, "protocol", "") in _REFUSING,
        )

    @classmethod
    def settings_model(cls) -> type[BaseModel]:
        from storage_fsspec.settings import FsspecSettings

        return FsspecSettings

    async def open(self, io: IO) -> None:
        await super().open(io)
        self._fs = self._made()
        root = self._fs._strip_protocol(getattr(self.settings, "root", ""))
        self._root = str(root).rstrip("/")

    def _made(self) -> Any:
        try:
            import fsspec
        except ModuleNotFoundError as error:
            raise ConfigError(
                "fsspec is not installed: pip install 'storage-core[fsspec]'"
            ) from error
        settings = self.settings
        protocol = getattr(settings, "protocol", "")
        hidden = getattr(settings, "secrets", {})
        options = {
            **getattr(settings, "options", {}),
            **{name: value.get_secret_value() for name, value in hidden.items()},
        }
        try:
            made = fsspec.filesystem(protocol, skip_instance_cache=True, **options)
        except ImportError as error:
            raise ConfigError(f"protocol {protocol!r}: {error}") from error
        except ValueError as error:
            raise ConfigError(f"protocol {protocol!r} is not known to fsspec") from error
        except TypeError as error:
            raise ConfigError(f"options of protocol {protocol!r}: {error}") from error
        # A listing has to see the writes of others.
        made.dircache.use_listings_cache = False
        made.dircache.clear()
        return shareable(made)

    async def close(self) -> None:
        self._fs = None

    def describe(self) -> str:
        return f"fsspec {getattr(self.settings, 'protocol', '')} {self._root}".rstrip()

    def classify(self, error: Exception) -> StorageError | None:
        return errors.classify(error)

    def filesystem(self) -> Any:
        """The fsspec filesystem itself."""
        return self._fs._target if isinstance(self._fs, Serial) else self._fs

    # --- buckets ----------------------------------------------------------------------

    def _bucket(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _ls(self, path: str) -> list[dict[str, Any]]:
        try:
            found = self._fs.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        own = path.strip("/")
        return [info for info in found if str(info["name"]).strip("/") != own]

    def _need_bucket(self, name: str) -> None:
        # Filesystems over object services know no empty directories, so there is a mark.
        if not (
            self._fs.isdir(self._bucket(name)) or self._exists(f"{self._bucket(name)}/{_MARK}")
        ):
            raise BucketNotFoundError("there is no such bucket", bucket=name)

    def _exists(self, path: str) -> bool:
        try:
            self._fs.info(path)
        except FileNotFoundError:
            return False
        return True

    async def create_bucket(self, name: str) -> BucketInfo:
        with contextlib.suppress(BucketNotFoundError):
            self._need_bucket(name)
            raise BucketExistsError("there is such a bucket already")
        if self._root:
            self._fs.makedirs(self._root, exist_ok=True)
        try:
            self._fs.mkdir(self._bucket(name), create_parents=False)
        except FileExistsError as error:
            raise BucketExistsError("there is such a bucket already") from error
        self._make_internal(self._bucket(name))
        self._fs.pipe_file(f"{self._bucket(name)}/{_MARK}", b"")
        return BucketInfo(name)

    def _make_internal(self, bucket: str) -> None:
        """Directories of ours in a bucket; step by step, so that no bucket comes about."""
        for path in (f"{bucket}/{names.INTERNAL}", f"{bucket}/{_SPARE}"):
            with contextlib.suppress(FileExistsError):
                self._fs.mkdir(path, create_parents=False)

    async def delete_bucket(self, name: str) -> None:
        self._need_bucket(name)
        path = self._bucket(name)
        if self._first(path) or any(
            not str(info["name"]).endswith(f"/{names.INTERNAL}") for info in self._ls(path)
        ):
            raise BucketNotEmptyError("the bucket holds objects, or directories of others")
        # Not recursive from here on: what was written a moment ago is not deleted along.
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm(f"{path}/{names.INTERNAL}", recursive=True)
        try:
            self._fs.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise BucketNotEmptyError("an object was written meanwhile") from error

    def _first(self, path: str) -> bool:
        """Whether there is an object."""
        return next(listing.walk(self._ls, path, "", "", b""), None) is not None

    async def head_bucket(self, name: str) -> BucketInfo:
        self._need_bucket(name)
        return BucketInfo(name)

    async def list_buckets_page(self, request: ListBucketsRequest) -> Page[BucketInfo]:
        found = sorted(
            name
            for info in self._ls(self._root)
            if info["type"] == "directory"
            and (name := str(info["name"]).rstrip("/").rpartition("/")[2]).startswith(
                request.prefix
            )
            and name > (request.token or "")
        )
        page = found[: request.limit]
        more = len(found) > request.limit
        return Page([BucketInfo(name) for name in page], page[-1] if more else None)

    # --- objects ----------------------------------------------------------------------

    async def put(self, request: PutRequest) -> PutResult:
        self._need_bucket(request.bucket)
        bucket = self._bucket(request.bucket)
        Trailer("", request.attributes, {}).pack()  # refuses what is too long before any byte
        etag = f"{secrets.token_hex(12)}-f"
        spare = f"{bucket}/{_SPARE}/{secrets.token_hex(12)}"
        path = f"{bucket}/{names.object_path(request.key)}"
        done = False
        try:
            self._make_internal(bucket)
            with self._fs.open(spare, "wb") as file:
                async for piece in request.body:
                    file.write(bytes(piece))
                kept = request.body.digests()
                file.write(Trailer(etag, request.attributes, kept).pack())
            self._publish(spare, path)
            done = True
        except FileNotFoundError as error:
            self._need_bucket(request.bucket)
            raise UnavailableError("the bucket is being deleted", unsent=True) from error
        finally:
            if not done:
                with contextlib.suppress(Exception):
                    self._fs.rm_file(spare)
        plain = names.plain_path(request.key)
        if plain is not None and self._is_file(f"{bucket}/{plain}"):
            self._fs.rm_file(f"{bucket}/{plain}")  # the object of others that this one replaces
        return PutResult(request.key, etag, request.body.count, None, kept)

    def _publish(self, spare: str, path: str) -> None:
        """Rename a finished file to its place; a directory that a delete removed meanwhile is
        made again."""
        parent = path.rpartition("/")[0]
        for last in (False, False, True):
            self._fs.info(spare)  # gone with its bucket, which must not come back
            self._fs.makedirs(parent, exist_ok=True)
            try:
                self._fs.mv(spare, path)
            except FileNotFoundError:
                if last:
                    raise
            else:
                return

    def _is_file(self, path: str) -> bool:
        try:
            return bool(self._fs.info(path)["type"] == "file")
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _find(self, bucket: str, key: str, bytes_too: bool = False) -> _Found:
        """The file of an object, ours or of others.

        Args:
            bucket: Name of the bucket.
            key: Of the object.
            bytes_too: Read the bytes along, if they are few: so info and bytes are of one file,
                also when others replace it.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: there is none.
        """
        base = self._bucket(bucket)
        path = f"{base}/{names.object_path(key)}"
        try:
            info = self._fs.info(path)
            if bytes_too and int(info["size"]) <= BLOCK:
                file = self._fs.cat_file(path)
                size = len(file) - trailer.SIZE
                written = trailer.unpack(file[max(0, size) :])
                return _Found(path, _described(key, size, info, written), file[:size])
            size = int(info["size"])
            end = self._fs.cat_file(path, start=max(0, size - trailer.SIZE), end=size)
        except (FileNotFoundError, NotADirectoryError):
            return self._find_plain(bucket, key)
        return _Found(path, _described(key, size - trailer.SIZE, info, trailer.unpack(end)))

    def _find_plain(self, bucket: str, key: str) -> _Found:
        plain = names.plain_path(key)
        path = f"{self._bucket(bucket)}/{plain}"
        if plain is None or not self._is_file(path):
            self._need_bucket(bucket)
            raise ObjectNotFoundError("there is no such object")
        info = self._fs.info(path)
        size = int(info["size"])
        etag = f"{size:x}-{times.modified(info).timestamp():f}"
        return _Found(path, _described(key, size, info, Trailer(etag, NO_ATTRIBUTES, {})))

    async def get(self, request: GetRequest) -> ObjectStream:
        path, info, data = self._find(request.bucket, request.key, True)
        start, stop = request.range.resolve(info.size) if request.range else (0, info.size)
        digest = None
        if stop - start == info.size and "crc32c" in info.checksums:
            digest = ("crc32c", bytes.fromhex(info.checksums["crc32c"]))
        if data is not None:
            return BytesStream(info, data[start:stop], start, digest)

        def same() -> bool:
            return self._find(request.bucket, request.key).info.etag == info.etag

        return FileStream(self._fs, path, info, start, stop - start, digest, same)

    async def head(self, request: HeadRequest) -> ObjectInfo:
        return self._find(request.bucket, request.key).info

    async def delete(self, request: DeleteRequest) -> DeleteResult:
        base = self._bucket(request.bucket)
        paths = [f"{base}/{names.object_path(request.key)}"]
        if (plain := names.plain_path(request.key)) is not None:
            paths.append(f"{base}/{plain}")
        gone = False
        for path in paths:
            if self._is_file(path):
                with contextlib.suppress(FileNotFoundError):
                    self._fs.rm_file(path)
                self._prune(base, path)
                gone = True
        if not gone:
            self._need_bucket(request.bucket)
        return DeleteResult(request.key)

    def _prune(self, base: str, path: str) -> None:
        """Remove the directories that a deleted file leaves empty."""
        parent = path.rpartition("/")[0]
        while len(parent) > len(base):
            try:
                if self._ls(parent):
                    return
                self._fs.rmdir(parent)
            except Exception:  # noqa: BLE001 - it is not empty, or not ours to remove
                return
            parent = parent.rpartition("/")[0]

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        base = self._bucket(request.bucket)
        after = _position(request)
        cut = request.prefix.rpartition("/")[0]
        prefix = f"{cut}/" if cut else ""
        start = f"{base}/{names.directory_path(prefix)}" if prefix else base
        found = listing.walk(self._ls, start, prefix, request.prefix, after)
        items, last = listing.grouped(
            found, request.prefix, request.delimiter, request.limit, after
        )
        if not items and request.token is None:
            self._need_bucket(request.bucket)
        return Page(items, None if last is None else last.hex())


def _described(key: str, size: int, info: Mapping[str, Any], written: Trailer) -> ObjectInfo:
    kept = written.attributes
    return ObjectInfo(
        key,
        size,
        written.etag,
        times.modified(info),
        kept.content_type,
        kept.content_encoding,
        kept.content_disposition,
        kept.content_language,
        kept.cache_control,
        kept.metadata,
        written.checksums,
    )


def _position(request: ListRequest) -> bytes:
    """Where the page begins: a token is the last key of the one before, in hexadecimal."""
    if request.token is None:
        return request.start_after.encode()
    try:
        return bytes.fromhex(request.token)
    except ValueError as error:
        raise InvalidRequestError("the page token is not one of a listing") from error
