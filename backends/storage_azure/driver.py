"""The driver for Azure Blob Storage.

Buckets are containers, objects are block blobs. Accounts with a hierarchical namespace (Data
Lake Storage Gen2) work as far as their keys are paths: they do not keep ``a//b`` apart from
``a/b``. With `AzureSettings.versions` a deletion makes the object an old version; the service
has no delete markers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from storage_azure.credentials import resolve
from storage_azure.listing import MAX_PAGE
from storage_azure.presign import Links
from storage_azure.requests import BLOCK_SIZE
from storage_core.checksum import ALGORITHMS
from storage_core.driver import IO
from storage_core.errors import ConfigError
from storage_core.model import Capabilities, Condition, Operation

if TYPE_CHECKING:
    from pydantic import BaseModel

    from storage_azure.credentials import Access
    from storage_azure.settings import AzureSettings

_READ: frozenset[Condition] = frozenset(
    ("if_match", "if_none_match", "if_modified_since", "if_unmodified_since")
)
_WRITE: frozenset[Condition] = frozenset(("if_absent", "if_match"))
_CONDITIONS: Mapping[Operation, frozenset[Condition]] = MappingProxyType(
    {
        "get": _READ,
        "head": _READ,
        "copy_source": _READ,
        "put": _WRITE,
        "copy": _WRITE,
        "complete": _WRITE,
        "delete": frozenset(("if_match",)),
    }
)
_MAX_SIZE = 5 * 1024**4


class AzureDriver(Links):
    """One storage account; see `storage_azure.settings`."""

    name = "azure"
    supported_io: frozenset[IO] = frozenset(("blocking", "asyncio"))

    def __init__(self, settings: BaseModel) -> None:
        super().__init__(settings)
        self.capabilities = capabilities(self.settings)

    @classmethod
    def settings_model(cls) -> type[BaseModel]:
        from storage_azure.settings import AzureSettings

        return AzureSettings

    def describe(self) -> str:
        try:
            access = resolve(self.settings)
        except ConfigError:
            return "azure, no account"
        source = ", account from the environment" if access.environment else ""
        return f"azure {access.endpoint}{source}"


def capabilities(settings: AzureSettings) -> Capabilities:
    """What a profile can do."""
    signs = _signs(settings)
    binds = {"filename", "if_absent"}
    if settings.versions:
        binds.add("version")
    return Capabilities(
        conditions=_CONDITIONS,
        server_side_copy=True,
        update_metadata=True,
        max_object_size=_MAX_SIZE,
        max_put_size=_MAX_SIZE,
        unsized_put=True,
        write_ids=True,
        checksums=frozenset(ALGORITHMS),
        default_checksum="crc32c",
        # The service does not say how it orders what is not ASCII, the emulator does it by
        # UTF-16, and some names are not their keys.
        ordered_listing=False,
        max_page_size=MAX_PAGE,
        multipart=True,
        min_part_size=settings.min_part_size,
        max_part_size=BLOCK_SIZE,
        versions=settings.versions,
        tags=True,
        presign=frozenset(("GET", "HEAD", "PUT", "DELETE")) if signs else frozenset(),
        presign_part=signs,
        presign_binds=frozenset(binds) if signs else frozenset(),
    )


def _signs(settings: AzureSettings) -> bool:
    """Whether the credentials sign links: a key, or a token that gets one delegated."""
    try:
        access: Access = resolve(settings)
    except ConfigError:
        return False
    return bool(access.key) or not (access.sas or access.anonymous)
