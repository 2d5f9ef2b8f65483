"""Names of multipart sessions: where their bytes lie until they are published.

A session uploads to a hidden key,

    .storage-core/u/<key><TAB><token>

which lists uploads by key and keeps sessions on one key apart. A key too long for that is cut
there, its token begins with ``+``, and the key stands whole in the metadata of the object
``.storage-core/k/<token>``. The session's id is ``<token>.<UploadId>``.
"""

from __future__ import annotations

import re
import secrets
from typing import Final, NamedTuple

from storage_core.errors import UploadNotFoundError
from storage_gcs.names import HIDDEN

UPLOADS: Final = f"{HIDDEN}u/"
_RECORDS: Final = f"{HIDDEN}k/"
_MOST: Final = 1024 - len(UPLOADS) - len("\t+") - 16
"""Bytes of a key that a hidden key has room for."""
_TOKEN = re.compile(r"\+?[0-9a-f]{16}").fullmatch


class Session(NamedTuple):
    """One session of a bucket.

    Attributes:
        key: Of the object it will be; cut where it comes from a listing and is `long`.
        token: Random, apart from a ``+`` before it.
        upload_id: The service's.
    """

    key: str
    token: str
    upload_id: str = ""

    @property
    def long(self) -> bool:
        """Whether the key does not stand whole in the hidden one."""
        return self.token.startswith("+")

    @property
    def hidden(self) -> str:
        """The key the session uploads to."""
        return f"{UPLOADS}{_cut(self.key) if self.long else self.key}\t{self.token}"

    @property
    def record(self) -> str:
        """Key of the object that tells a long key."""
        return f"{_RECORDS}{self.token}"

    @property
    def id(self) -> str:
        """As core and users see it."""
        return f"{self.token}.{self.upload_id}"


def begun(key: str) -> Session:
    """A session that is about to begin."""
    long = "+" if len(key.encode()) > _MOST else ""
    return Session(key, long + secrets.token_hex(8))


def of_id(key: str, session_id: str) -> Session:
    """The session of an id.

    Raises:
        UploadNotFoundError: it is no id of ours.
    """
    token, _, upload_id = session_id.partition(".")
    session = Session(key, token, upload_id)
    fits = session.long or len(key.encode()) <= _MOST
    if not (upload_id and fits and _TOKEN(token)):
        raise UploadNotFoundError("the upload does not exist: its id is none of this driver's")
    return session


def of_hidden(hidden: str, upload_id: str) -> Session | None:
    """The session that uploads to a hidden key; None if it is none of ours."""
    key, tab, token = hidden.removeprefix(UPLOADS).rpartition("\t")
    return Session(key, token, upload_id) if tab and key and _TOKEN(token) else None


def prefix_of(prefix: str) -> str:
    """What the hidden keys of all sessions on keys with a prefix begin with."""
    return UPLOADS + _cut(prefix)


def _cut(text: str) -> str:
    return text.encode()[:_MOST].decode(errors="ignore")
