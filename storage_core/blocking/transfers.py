"""Files and trees of files in and out of a `Bucket`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, cast

from storage_core.blocking.tree import Tree
from storage_core.core.attributes import make_attributes, read_conditions, write_conditions
from storage_core.core.between import End
from storage_core.model import ObjectInfo, PutResult
from storage_core.runtime import drive
from storage_core.transfer.options import DEFAULTS, TransferOptions

if TYPE_CHECKING:
    from os import PathLike

    from storage_core.blocking.bucket import Bucket
    from storage_core.core.bucket import BucketCore
    from storage_core.runtime import BlockingRuntime
    from storage_core.transfer.context import Context
    from storage_core.transfer.progress import OnProgress
    from storage_core.transfer.report import OnOutcome, TransferReport
    from storage_core.transfer.rules import LeftOut
    from storage_core.transfer.source import Uploadable


class Transfers:
    """What a bucket does with files and trees of files."""

    __slots__ = ()

    _core: BucketCore
    _runtime: BlockingRuntime

    def upload_file(
        self,
        source: Uploadable,
        key: str,
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
        content_disposition: str | None = None,
        content_language: str | None = None,
        cache_control: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        checksums: Mapping[str, str] | None = None,
        compute: Iterable[str] = (),
        options: TransferOptions = DEFAULTS,
        progress: OnProgress | None = None,
    ) -> PutResult:
        """Store a file as an object: in one request where it is small, else in parts, several
        at a time.

        An interrupted upload of a file that is named by its path is continued by the same call
        in any later process, if the file is unchanged; what was sent before is not sent again.

        Args:
            source: Path of a file, a binary file (read from where it stands), or an iterable
                of bytes, whose length need not be known.
            key: 1 to 1024 bytes of UTF-8 (`storage_core.keys.check_key`).
            content_type: Media type; nothing is guessed.
            content_encoding: Such as ``gzip``. The bytes are stored as they are.
            content_disposition: Header of that name.
            content_language: Header of that name.
            cache_control: Header of that name.
            metadata: User metadata, as for `put`.
            tags: Up to ten tags.
            expires_at: Moment from which on the object is gone.
            if_absent: Only if there is no such object; of several racing exactly one wins.
            if_match: Only if the object has this etag.
            checksums: Declared digests, algorithm to hexadecimal; other bytes are refused.
            compute: Algorithms whose digests are wanted in the result; kept with the object
                where the profile can.
            options: How machine and network are used.
            progress: Called with a `Progress` ten times a second at most, from any thread but
                never twice at a time.

        Raises:
            FileNotFoundError: there is no such file.
            InvalidKeyError: the key can not be created.
            InvalidMetadataError: headers, metadata or tags are malformed or too large.
            PreconditionFailedError: a condition does not hold.
            IntegrityError: what the service stored differs from the file, or the file from a
                declared digest.
            ObjectChangedError: the file changed while it was read.
            QuotaExceededError: no room, or larger than an object can be.
        """
        from storage_core.transfer.upload import upload_file

        attributes = make_attributes(
            content_type,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            metadata,
            tags,
            expires_at,
        )
        conditions = write_conditions(if_absent, if_match)
        context = make_context(options, progress)
        work = upload_file(
            context,
            end_of(self),
            source,
            key,
            attributes,
            conditions,
            checksums,
            compute=tuple(compute),
        )
        return drive(context.told(work))

    def download_file(
        self,
        key: str,
        path: str | PathLike[str],
        *,
        version: str | None = None,
        if_match: str | None = None,
        replace: bool = True,
        options: TransferOptions = DEFAULTS,
        progress: OnProgress | None = None,
    ) -> ObjectInfo:
        """Fetch an object into a file: a large one by ranges, several at a time.

        The file appears under its name when all its bytes are there and their checksum holds.
        An interrupted download is continued by the same call in any later process, if the
        object is unchanged.

        Args:
            key: The object's key.
            path: Where the file is to be; its folder exists.
            version: A version instead of the current one.
            if_match: Only if the object has this etag.
            replace: Replace a file that exists.
            options: How machine and network are used.
            progress: Called with a `Progress` ten times a second at most, from any thread but
                never twice at a time.

        Raises:
            ObjectNotFoundError: there is no such object.
            PreconditionFailedError: ``if_match`` does not hold.
            IntegrityError: the bytes do not have the object's checksum.
            ObjectChangedError: the object was replaced while it was read.
            FileExistsError: there is a file, and ``replace`` is false.
            IsADirectoryError: there is a folder of that name.
            OSError: the file can not be written.
        """
        from storage_core.transfer.download import download_file

        conditions = read_conditions(if_match, None, None, None)
        context = make_context(options, progress)
        work = download_file(context, end_of(self), key, path, version, conditions, replace)
        return drive(context.told(work))

    def upload_tree(
        self,
        folder: str | PathLike[str],
        prefix: str = "",
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        content_type: Callable[[str], str | None] | None = None,
        content_encoding: str | None = None,
        content_disposition: str | None = None,
        content_language: str | None = None,
        cache_control: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
        if_absent: bool = False,
        options: TransferOptions = DEFAULTS,
        progress: OnProgress | None = None,
        on_outcome: OnOutcome | None = None,
    ) -> TransferReport:
        """Store all files of a folder and of those in it; objects that are there are replaced.

        The key of a file is the prefix and its place in the folder, with ``/`` between names.
        Symbolic links are not followed; they and all else that is no regular file are skipped.

        Args:
            folder: The folder.
            prefix: What the keys begin with. One that is not empty ends with ``/``, which is
                added where it is missing.
            include: Patterns of which a file has to match one, if there are any: ``*``, ``?``
                and ``[…]`` over the whole place in the folder; ``*`` matches ``/`` too.
            exclude: Patterns of which it may match none.
            content_type: Gives the media type for a place in the folder.
            content_encoding: Header of that name, as all that follows of every file's object.
            content_disposition: Header of that name.
            content_language: Header of that name.
            cache_control: Header of that name.
            metadata: User metadata, as for `put`.
            tags: Up to ten tags.
            expires_at: Moment from which on the objects are gone.
            if_absent: An object that is there is a failure, and stays.
            options: How machine and network are used.
            progress: Called with a `Progress` ten times a second at most, from any thread but
                never twice at a time.
            on_outcome: Called with the `Outcome` of each file when it has one, likewise.

        Raises:
            TransferIncompleteError: files failed, after all others were tried; its ``report``
                lists them.
            NotADirectoryError: the folder is none.
        """
        from storage_core.transfer.folder import FolderSide
        from storage_core.transfer.prefix import BucketSide
        from storage_core.transfer.rules import make_rules
        from storage_core.transfer.sync import transfer

        attributes = make_attributes(
            None,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            metadata,
            tags,
            expires_at,
        )
        rules = make_rules(
            include=include,
            exclude=exclude,
            content_type=content_type,
            attributes=attributes,
            if_absent=if_absent,
        )
        context = make_context(options, progress)
        target = BucketSide(end_of(self), prefix)
        work = transfer(context, FolderSide(folder), target, rules, on_outcome)
        return drive(context.told(work))

    def download_tree(
        self,
        prefix: str,
        folder: str | PathLike[str],
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        replace: bool = True,
        options: TransferOptions = DEFAULTS,
        progress: OnProgress | None = None,
        on_outcome: OnOutcome | None = None,
    ) -> TransferReport:
        """Fetch all objects below a prefix into a folder; files that are there are replaced.

        Folders are made as they are needed, and files get the objects' times. A key that has
        no place in a folder (``a//b``, ``../a``, ``a`` beside ``a/b``) is a failure; what is
        below a symbolic link in the folder is never written to.

        Args:
            prefix: What the keys begin with, as for `upload_tree`.
            folder: The folder; made if there is none.
            include: As for `upload_tree`, over what follows the prefix.
            exclude: Likewise.
            replace: Replace files that exist; else each is a failure, and stays.
            options: How machine and network are used.
            progress: As for `upload_tree`.
            on_outcome: As for `upload_tree`.

        Raises:
            TransferIncompleteError: objects failed, after all others were tried; its
                ``report`` lists them.
        """
        from storage_core.transfer.folder import FolderSide
        from storage_core.transfer.prefix import BucketSide
        from storage_core.transfer.rules import make_rules
        from storage_core.transfer.sync import transfer

        rules = make_rules(include=include, exclude=exclude, if_absent=not replace)
        context = make_context(options, progress)
        source = BucketSide(end_of(self), prefix)
        work = transfer(context, source, FolderSide(folder), rules, on_outcome)
        return drive(context.told(work))

    def copy_tree(
        self,
        prefix: str,
        target_bucket: Bucket,
        target_prefix: str = "",
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        if_absent: bool = False,
        leave_out: Iterable[LeftOut] = (),
        options: TransferOptions = DEFAULTS,
        progress: OnProgress | None = None,
        on_outcome: OnOutcome | None = None,
    ) -> TransferReport:
        """Copy all objects below a prefix: inside the service where both are of one storage
        and it can, else through this process, verified on both sides. Headers, metadata and
        tags go along.

        Args:
            prefix: What the keys begin with, as for `upload_tree`.
            target_bucket: Bucket of the copies, of this storage or another.
            target_prefix: What the copies' keys begin with.
            include: As for `upload_tree`, over what follows the prefix.
            exclude: Likewise.
            if_absent: An object that is there is a failure, and stays.
            leave_out: What does not go along: ``"headers"`` but the content type,
                ``"metadata"``, ``"tags"``, ``"expiry"``.
            options: How machine and network are used.
            progress: As for `upload_tree`.
            on_outcome: As for `upload_tree`.

        Raises:
            TransferIncompleteError: objects failed, after all others were tried; its
                ``report`` lists them.
            InvalidRequestError: the two prefixes of one bucket overlap.
        """
        from storage_core.transfer.prefix import BucketSide
        from storage_core.transfer.rules import make_rules
        from storage_core.transfer.sync import transfer

        rules = make_rules(
            include=include, exclude=exclude, if_absent=if_absent, leave_out=leave_out
        )
        context = make_context(options, progress)
        source = BucketSide(end_of(self), prefix)
        target = BucketSide(end_of(target_bucket), target_prefix)
        return drive(context.told(transfer(context, source, target, rules, on_outcome)))

    def tree(self, prefix: str = "") -> Tree:
        """The objects below a prefix, as a side of `storage_core.sync` and
        `storage_core.verify`; nothing is asked."""
        return Tree(cast("Bucket", self), prefix)


def end_of(bucket: Transfers) -> End:
    """A bucket of this face as the engine of transfers takes it."""
    return End(bucket._core, bucket._runtime)


def make_context(options: TransferOptions, progress: OnProgress | None) -> Context:
    """The context of one transfer of this face."""
    from storage_core.runtime.team import ThreadTeam
    from storage_core.transfer.context import Context

    return Context(ThreadTeam(), options, progress)
