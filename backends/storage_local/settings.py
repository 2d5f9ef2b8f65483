"""The local driver's part of a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LocalSettings(BaseModel):
    """Settings of ``driver = "local"``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Path = Field(
        description="Directory of the object store; made if it does not exist. It holds"
        " nothing else."
    )
    fsync: bool = Field(
        default=True,
        description="Whether a write is on the disk before it is acknowledged. Without it"
        " writes are as atomic, but a power failure may lose the last ones.",
    )
    versions: bool = Field(
        default=False,
        description="Whether overwritten and deleted objects are kept as versions.",
    )
    etag: Literal["random", "md5"] = Field(
        default="random",
        description="Etags differ for every write, or are the MD5 of the bytes, for clients"
        " that take etags for it.",
    )
    min_part_size: int = Field(
        default=5 * 1024**2,
        ge=1,
        description="Least size in bytes of a part other than the last.",
    )
    upload_expiry: float = Field(
        default=7 * 24 * 3600,
        gt=0,
        description="Seconds after which an untouched upload session may be swept by fsck.",
    )
    inline_size: int = Field(
        default=64 * 1024,
        ge=0,
        le=1024**2,
        description="Objects up to this many bytes stand in their record instead of a data"
        " file of their own.",
    )
