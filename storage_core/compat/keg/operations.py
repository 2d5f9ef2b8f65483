"""`StorageOperations`: what an application does with files, as a class or a mixin."""

from __future__ import annotations

import io
import uuid
from datetime import timedelta
from enum import Enum
from typing import IO, ClassVar, TypeAlias

from storage_core.compat.keg.backends.base import ShareLinkOperation, StorageBackend
from storage_core.compat.keg.plugin import current_storage
from storage_core.compat.keg.utils import Moment, missing, utc_now

Location: TypeAlias = Enum | str | None


class StorageOperations:
    """Files of an application: stored under names of their own, below a location.

    `storage_location` and `storage_profile` of a subclass are defaults; the arguments of a
    call come first, and without either the first profile counts. The location is a member of an
    enumeration, or a text; ``""`` is none, whatever the class says.
    """

    storage_location: ClassVar[Location] = None
    storage_profile: ClassVar[str | None] = None

    @staticmethod
    def storage_prefix_path(location: Location, filename: str) -> str:
        """The path of a file: its location, a slash and its name, of which one leading dot is
        dropped."""
        folder = location.value if isinstance(location, Enum) else location
        name = filename.removeprefix(".")
        return f"{folder}/{name}" if folder else name

    @staticmethod
    def storage_generate_filename(filename: str) -> str:
        """A new name, a random UUID with the extension of a name: what follows its last dot."""
        extension = _extension(filename)
        return f"{uuid.uuid4()}.{extension}" if extension else str(uuid.uuid4())

    @classmethod
    def storage_get_profile(cls, storage_profile: str | None = None) -> StorageBackend:
        """The backend of a profile.

        Raises:
            ValueError: there is none of that name.
            ConfigError: nothing says which profiles there are.
        """
        return current_storage().get_interface(storage_profile or cls.storage_profile)

    @classmethod
    def storage_download_file(
        cls, filename: str, storage_location: Location = None, storage_profile: str | None = None
    ) -> io.BytesIO:
        """The bytes of a file, from their start. They are in memory: a large file is better
        read by `StorageBackend.download`.

        Raises:
            FileNotFoundInStorageError: there is no such file.
        """
        buffer = io.BytesIO()
        backend = cls.storage_get_profile(storage_profile)
        backend.download(cls._storage_path(storage_location, filename), buffer)
        buffer.seek(0)
        return buffer

    @classmethod
    def storage_upload_file(
        cls,
        file_object: IO[bytes],
        filename: str,
        preserve_filename: bool = False,
        storage_location: Location = None,
        storage_profile: str | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
    ) -> str:
        """Store what an open file holds from where it stands.

        Args:
            file_object: The file.
            filename: The name it came with, which is not trusted.
            preserve_filename: Store it under that name, made safe, instead of a new one. What
                is there is replaced.
            storage_location: Its location.
            storage_profile: Its profile.
            content_type: Media type.
            content_encoding: Such as ``gzip``; the bytes are stored as they are.

        Returns:
            The name it has now, without the location.

        Raises:
            ValueError: nothing of the name to be preserved is safe.
        """
        safe = _secure(filename)
        if not preserve_filename:
            # Of a name in another script only the extension may be left.
            extension = _secure(_extension(filename))
            stored = cls.storage_generate_filename(
                f"file.{extension}" if extension and "." not in safe else safe
            )
        elif safe:
            stored = safe
        else:
            raise ValueError(f"nothing of the name {filename!r} can be preserved")
        extra_args: dict[str, object] = {}
        if content_type:
            extra_args["ContentType"] = content_type
        if content_encoding:
            extra_args["ContentEncoding"] = content_encoding
        cls.storage_get_profile(storage_profile).upload(
            file_object, path=cls._storage_path(storage_location, stored), extra_args=extra_args
        )
        return stored

    @classmethod
    def storage_upload_form_file(
        cls, form_field: str, storage_location: Location = None, storage_profile: str | None = None
    ) -> str:
        """Store a file of the posted form, in a request of Flask.

        Args:
            form_field: Its field; a request without it is answered 400.
            storage_location: Its location.
            storage_profile: Its profile.

        Returns:
            The name it has now, without the location.
        """
        try:
            import flask
        except ImportError as error:
            raise missing(error, "storage_upload_form_file", "flask") from error
        file = flask.request.files[form_field]
        return cls.storage_upload_file(
            file.stream,
            file.filename or "",
            storage_location=storage_location,
            storage_profile=storage_profile,
        )

    @classmethod
    def storage_delete_file(
        cls, filename: str, storage_location: Location = None, storage_profile: str | None = None
    ) -> bool:
        """Delete a file; True, also if it was not there."""
        backend = cls.storage_get_profile(storage_profile)
        backend.delete(path=cls._storage_path(storage_location, filename))
        return True

    @classmethod
    def storage_duplicate_file(
        cls, filename: str, storage_location: Location = None, storage_profile: str | None = None
    ) -> str:
        """Copy a file under a new name in the same location; returns that name.

        Raises:
            FileNotFoundInStorageError: there is no such file.
        """
        stored = cls.storage_generate_filename(filename)
        cls.storage_get_profile(storage_profile).copy(
            cls._storage_path(storage_location, filename),
            cls._storage_path(storage_location, stored),
        )
        return stored

    @classmethod
    def storage_get_download_link(
        cls,
        filename: str,
        expire_minutes: float,
        storage_location: Location = None,
        storage_profile: str | None = None,
        **kwargs: str | None,
    ) -> str:
        """A link by which a file can be read.

        Args:
            filename: The file.
            expire_minutes: How long it is good.
            storage_location: Its location.
            storage_profile: Its profile.
            **kwargs: What the backend's `StorageBackend.link_to` takes besides, such as
                ``output_path`` and ``content_type``.

        Raises:
            ValueError: ``expire_minutes`` is not positive.
        """
        expire = _in(expire_minutes)
        return cls.storage_get_profile(storage_profile).link_to(
            cls._storage_path(storage_location, filename),
            ShareLinkOperation.download,
            expire,
            **kwargs,
        )

    @classmethod
    def storage_get_upload_link(
        cls,
        filename: str,
        expire_minutes: float,
        storage_location: Location = None,
        storage_profile: str | None = None,
    ) -> tuple[str, str]:
        """A link by which a file can be stored under a new name.

        Args:
            filename: The name it has where it comes from; its extension is kept.
            expire_minutes: How long it is good.
            storage_location: Its location.
            storage_profile: Its profile.

        Returns:
            The link and the new name, without the location.

        Raises:
            ValueError: ``expire_minutes`` is not positive.
        """
        expire = _in(expire_minutes)
        stored = cls.storage_generate_filename(filename)
        url = cls.storage_get_profile(storage_profile).link_to(
            cls._storage_path(storage_location, stored), ShareLinkOperation.upload, expire
        )
        return url, stored

    @classmethod
    def _storage_path(cls, location: Location, filename: str) -> str:
        return cls.storage_prefix_path(
            cls.storage_location if location is None else location, filename
        )


def _extension(filename: str) -> str:
    """What follows the last dot of the last segment of a path."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return last.rpartition(".")[2] if "." in last else ""


def _secure(filename: str) -> str:
    try:
        from werkzeug.utils import secure_filename
    except ImportError as error:
        raise missing(error, "StorageOperations", "keg") from error
    return secure_filename(filename)


def _in(minutes: float) -> Moment:
    if not minutes > 0:
        raise ValueError(f"expire_minutes is {minutes}; it must be positive")
    return utc_now() + timedelta(minutes=minutes)
