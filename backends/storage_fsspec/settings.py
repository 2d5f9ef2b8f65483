"""The part of a profile with ``driver = "fsspec"``."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class FsspecSettings(BaseModel):
    """Settings of ``driver = "fsspec"``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: str = Field(
        min_length=1,
        description="Name of the filesystem as fsspec knows it, such as `sftp`, `webdav`, `hdfs`"
        " or `memory`. The package that fsspec needs for it has to be installed.",
    )
    root: str = Field(
        default="",
        description="Directory on it whose subdirectories are the buckets; made if it is missing.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of the filesystem, such as `host` and `username`.",
    )
    secrets: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Further arguments that are secret, such as `password`.",
    )
