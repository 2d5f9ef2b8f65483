"""keg-storage's Azure backend on the `azure` driver."""

from __future__ import annotations

import ipaddress
import warnings
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from storage_core.compat.keg.backends.base import ListEntry, ShareLinkOperation
from storage_core.compat.keg.backends.bucket import METHODS, BucketStorage
from storage_core.compat.keg.backends.profile import open_bucket
from storage_core.compat.keg.utils import Moment, as_utc, expire_time_to_seconds, missing
from storage_core.http.disposition import attachment

MAX_BLOCK: Final = 100 * 1024**2
CHUNK: Final = 5 * 1024**2
_PERMISSIONS: Final = (
    (ShareLinkOperation.download, "r"),
    (ShareLinkOperation.upload, "cw"),
    (ShareLinkOperation.remove, "d"),
)


class AzureStorage(BucketStorage):
    """A container of Azure Blob Storage. Needs the extra ``azure``.

    Either account, key and bucket, or a SAS URL of a container, or one of a single blob.

    Args:
        account: Name of the storage account.
        key: One of its keys.
        bucket: Name of the container.
        sas_container_url: URL of a container with its shared access signature.
        sas_blob_url: The same of a blob: there is only that file, and no listing.
        chunk_size: Least size of a block in bytes, up to 100 MiB; blocks have 8 MiB or more.
        name: What the application calls the backend.
        endpoint_url: Address of the account's blob service, if not Azure's.

    Raises:
        ValueError: none of these is complete.
    """

    def __init__(
        self,
        account: str | None = None,
        key: str | None = None,
        bucket: str | None = None,
        sas_container_url: str | None = None,
        sas_blob_url: str | None = None,
        chunk_size: int | None = CHUNK,
        name: str = "azure",
        *,
        endpoint_url: str | None = None,
    ) -> None:
        config: dict[str, Any] = {"driver": "azure"}
        self._blob: str | None = None
        self._account_url: str | None = None
        if account and key and bucket:
            self._account_url = endpoint_url or f"https://{account}.blob.core.windows.net"
            config |= {
                "account_name": account,
                "account_key": key,
                "endpoint_url": self._account_url,
            }
        elif sas_container_url or sas_blob_url:
            url = _parse_sas_url(sas_container_url or sas_blob_url or "")
            config |= {"endpoint_url": url.endpoint, "sas_token": url.token}
            bucket = url.container
            self._blob = None if sas_container_url else url.blob
        else:
            raise ValueError(
                "Must provide a sas_container_url, a sas_blob_url, or a combination of account,"
                " key, and bucket"
            )
        if chunk_size is not None and chunk_size > CHUNK:
            config["min_part_size"] = min(chunk_size, MAX_BLOCK)
        container = bucket
        super().__init__(name=name, opener=lambda: open_bucket(container, None, config))
        self.account = account
        self.key = key
        self.bucket = bucket

    def list(self, path: str) -> list[ListEntry]:
        """One level below a folder: its files, and its folders with size 0 and no time."""
        if self._blob is not None:
            raise ValueError("Cannot perform list operation when configured with SAS blob URL")
        folder = path.strip("/") + "/"
        return sorted(self._entries("" if folder == "/" else folder, "/"), key=attrgetter("name"))

    def _key(self, path: str) -> str:
        key = super()._key(path)
        if self._blob is not None and key != self._blob:
            raise ValueError("Invalid path for the configured SAS blob URL")
        return key

    def link_to(
        self,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Moment,
        output_path: str | None = None,
        content_type: str | None = None,
    ) -> str:
        """As `BucketStorage.link_to`; operations can be combined. Whoever uploads by it has to
        send ``x-ms-blob-type: BlockBlob``; no content type can be bound."""
        account, url = self._signer()
        wanted = ShareLinkOperation.as_operation(operation)
        if wanted in METHODS:
            return super().link_to(path, wanted, expire, output_path, content_type)
        key = self._key(path)
        permissions = "".join(letters for one, letters in _PERMISSIONS if one in wanted)
        token = _sdk().generate_blob_sas(
            account_name=account,
            container_name=self.bucket,
            blob_name=key,
            account_key=self.key,
            permission=permissions,
            expiry=self._end(expire),
            content_disposition=attachment(output_path) if output_path else None,
            content_type=content_type,
        )
        return f"{url}/{self.bucket}/{quote(key)}?{token}"

    def create_container_url(self, expire: Moment, ip: str | None = None) -> str:
        """A URL by which all files can be read, written, deleted and listed.

        Args:
            expire: Until when.
            ip: Only from this address, or range ``first-last``.
        """
        account, url = self._signer()
        token = _sdk().generate_container_sas(
            account_name=account,
            container_name=self.bucket,
            account_key=self.key,
            permission="rwdl",
            expiry=self._end(expire),
            ip=ip,
        )
        return f"{url}/{self.bucket}?{token}"

    def create_upload_url(self, path: str, expire: Moment) -> str:
        """Deprecated: `link_to` with ``"u"``."""
        warnings.warn(
            "create_upload_url is deprecated. Use link_to instead", DeprecationWarning, stacklevel=2
        )
        return self.link_to(path, ShareLinkOperation.upload, expire)

    def create_download_url(self, path: str, expire: Moment) -> str:
        """Deprecated: `link_to` with ``"d"``."""
        warnings.warn(
            "create_download_url is deprecated. Use link_to instead",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.link_to(path, ShareLinkOperation.download, expire)

    def _signer(self) -> tuple[str, str]:
        """Account and address of its service, where there is a key to sign with."""
        if self._account_url is None or self.account is None:
            raise ValueError("Cannot create a SAS URL without account credentials")
        return self.account, self._account_url

    def _end(self, expire: Moment) -> datetime:
        expire_time_to_seconds(expire, now=self.now)
        return as_utc(expire)


class _SasUrl(NamedTuple):
    endpoint: str
    container: str
    blob: str
    token: str


def _parse_sas_url(url: str) -> _SasUrl:
    """The parts of a SAS URL. The account is in the host, or, with an emulator's address, the
    first segment of the path.

    Raises:
        ValueError: it is none. The message does not show it: it is a secret.
    """
    parts = urlsplit(url)
    segments = parts.path.lstrip("/").split("/")
    account = [segments.pop(0)] if _is_emulator(parts.hostname or "") and segments else []
    if parts.scheme not in {"http", "https"} or not segments or not segments[0] or not parts.query:
        raise ValueError("the SAS URL is not https://ACCOUNT.blob…/CONTAINER[/BLOB]?TOKEN")
    endpoint = "/".join([f"{parts.scheme}://{parts.netloc}", *account])
    return _SasUrl(endpoint, segments[0], unquote("/".join(segments[1:])), parts.query)


def _is_emulator(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _sdk() -> Any:
    try:
        from azure.storage import blob
    except ImportError as error:
        raise missing(error, "signing for a container or several operations", "azure") from error
    return blob
