"""What the facade `z3` reads and writes as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

MAX_CHILDREN: Final = 1000
"""Keys that one request deletes besides the folder's own."""


class CreatedBucket(BaseModel):
    """A bucket that was made."""

    id: str
    name: str


class ListedBucket(CreatedBucket):
    """A bucket in a listing."""

    creation_date: datetime = Field(alias="creationDate", description="When it was made, in UTC.")


class ListedObject(BaseModel):
    """An object in a listing."""

    key: str = Field(description="Name of the bucket, a slash, key of the object.")
    last_modified: datetime = Field(
        alias="lastModified", description="When it was last written, in UTC."
    )


class LinkOrder(BaseModel):
    """What a link is to be for."""

    action: Literal["upload", "download"]
    is_folder: bool = Field(
        default=False,
        alias="isFolder",
        description="Whether the path is a folder's. To upload, its marker is made at once.",
    )


class SignedLink(BaseModel):
    """A link."""

    signed_url: str = Field(
        alias="signedUrl", description="Good for one method on one object, for a while."
    )


class Deletion(BaseModel):
    """What goes along with an object."""

    children: list[str] | None = Field(
        default=None,
        max_length=MAX_CHILDREN,
        description="Given, even empty, the path is a folder's, and these keys below it go too.",
    )

    @field_validator("children", mode="before")
    @classmethod
    def _not_too_many(cls, value: Any) -> Any:
        if isinstance(value, list) and len(value) > MAX_CHILDREN:
            raise PydanticCustomError(
                "too_many", f"more than {MAX_CHILDREN} keys; delete them by several requests"
            )
        return value


class Failure(BaseModel):
    """A refusal."""

    message: str
    code: int = Field(description="The HTTP status.")


def iso(moment: datetime) -> str:
    """A time as JavaScript writes it: UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
