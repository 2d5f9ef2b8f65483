"""Operands that name either a place in a profile or a local file or folder."""

from __future__ import annotations

import os
from pathlib import Path

from storage_core.cli.address import STANDARD_STREAM, Address, parse_group, parse_within_bucket
from storage_core.cli.status import UsageError

_LOCAL = ("./", "../", "/", "~/")
"""How a local name begins; no bucket's does."""


def is_local(text: str) -> bool:
    """Whether an operand names a local file or folder."""
    return text in {".", "..", "~"} or text.startswith(_LOCAL)


def local(text: str) -> Path:
    """The file or folder of a local operand."""
    return Path(text).expanduser()


def parse_side(text: str) -> Address | Path:
    """Read a tree: a local folder, a bucket, or a prefix that ends with ``/``.

    Raises:
        UsageError: it is none, or could be both.
    """
    if is_local(text):
        return local(text)
    refuse_folder(text)
    return parse_group(text)


def parse_operand(text: str) -> Address | Path:
    """Read an object, a bucket, a prefix, or a local file or folder.

    Raises:
        UsageError: it is none, or could be both.
    """
    if is_local(text):
        return local(text)
    refuse_folder(text)
    return parse_within_bucket(text)


def refuse_folder(text: str) -> None:
    """Refuse an address without a profile that is the name of a folder here as well.

    Raises:
        UsageError: it is.
    """
    if text != STANDARD_STREAM and ":" not in text and os.path.isdir(text):
        raise UsageError(
            f"{text!r} is an address, and here is a folder of that name: write './{text}' for the"
            f" folder, or 'PROFILE:{text}' for the address"
        )
