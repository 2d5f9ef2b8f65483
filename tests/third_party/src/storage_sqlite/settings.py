"""Settings of ``driver = "sqlite"``."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class SqliteSettings(BaseModel):
    """The driver's part of a profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path = Field(description="The database; made if it does not exist.")
