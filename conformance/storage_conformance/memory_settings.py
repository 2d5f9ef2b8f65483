"""Settings of the memory driver. Apart from it, because pydantic takes its time to import."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class MemorySettings(BaseModel):
    """The memory driver's part of a profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(
        None,
        description="Drivers of one process with the same name share their objects; without a"
        " name each has its own.",
    )
    versions: bool = Field(
        False, description="Keep old versions of every object, in buckets made from now on."
    )
    min_part_size: int = Field(
        5 * 1024**2, ge=0, description="Least size in bytes of every part but the last."
    )
