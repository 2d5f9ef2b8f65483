"""Commands of the plug-in, as ``flask storage …``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, ParamSpec

from storage_core.compat.keg.backends.base import (
    FileNotFoundInStorageError,
    ListEntry,
    ShareLinkOperation,
    StorageBackend,
)
from storage_core.compat.keg.backends.replacing import ReplacedFile
from storage_core.compat.keg.utils import missing, utc_now
from storage_core.errors import StorageError

try:
    import click
    from flask.cli import with_appcontext
except ImportError as error:
    raise missing(error, "the plug-in", "flask") from error

if TYPE_CHECKING:
    from flask import Flask

P = ParamSpec("P")


@click.group("_storage")
@click.option("--location", help="Name of the profile.")
@with_appcontext
@click.pass_context
def storage(ctx: click.Context, location: str | None) -> None:
    """Work with the files of a storage profile."""
    from flask import current_app

    name = location or current_app.config.get("KEG_STORAGE_DEFAULT_LOCATION")
    if not name:
        click.echo("No location given and no default was configured.")
        ctx.abort()
    try:
        ctx.obj.data["storage"] = current_app.storage.get_interface(name)  # type: ignore[attr-defined]
    except (KeyError, ValueError):
        click.echo(
            f"The location {name} does not exist. Pass --location or change your configuration."
        )
        ctx.abort()


def handle_not_found(function: Callable[P, None]) -> Callable[P, None]:
    """A command that says so where there is no such file, and any other error without a
    traceback."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except FileNotFoundInStorageError as error:
            raise click.FileError(
                error.filename, hint=f"Not found in {error.storage_type}."
            ) from error
        except StorageError as error:
            raise click.ClickException(str(error)) from error

    return wrapper


@storage.command("list")
@click.option("--simple", is_flag=True, help="Names alone.")
@click.argument("path", default="/")
@click.pass_context
@handle_not_found
def storage_list(ctx: click.Context, path: str, simple: bool) -> None:
    """List files."""
    for entry in _backend(ctx).list(path):
        click.echo(entry.name if simple else _line(entry))


@storage.command("get")
@click.argument("path")
@click.argument("file", required=False)
@click.pass_context
@handle_not_found
def storage_get(ctx: click.Context, path: str, file: str | None) -> None:
    """Download a file; "-" is standard output."""
    target = file or path.rpartition("/")[2]
    if target == "-":
        _backend(ctx).download(path, sys.stdout.buffer)
    else:
        with ReplacedFile(target) as opened:
            _backend(ctx).download(path, opened)
    click.echo(f"Downloaded {path} to {target}.", err=True)


@storage.command("put")
@click.argument("file", type=click.File("rb"))
@click.argument("key")
@click.pass_context
@handle_not_found
def storage_put(ctx: click.Context, file: BinaryIO, key: str) -> None:
    """Upload a file; "-" is standard input."""
    _backend(ctx).upload(file, key)
    click.echo(f"Uploaded {getattr(file, 'name', '-')} to {key}.", err=True)


@storage.command("copy")
@click.argument("src_key")
@click.argument("dest_key")
@click.pass_context
@handle_not_found
def storage_copy(ctx: click.Context, src_key: str, dest_key: str) -> None:
    """Copy a file within the profile."""
    _backend(ctx).copy(src_key, dest_key)
    click.echo(f"Copied {src_key} to {dest_key}.")


@storage.command("delete")
@click.argument("path")
@click.pass_context
@handle_not_found
def storage_delete(ctx: click.Context, path: str) -> None:
    """Delete a file."""
    _backend(ctx).delete(path)
    click.echo(f"Deleted {path}.", err=True)


@storage.command("link")
@click.argument("path")
@click.option("--expiration", "-e", default=3600, help="Seconds the link is good; an hour if none.")
@click.option("--download/--no-download", default=True)
@click.option("--upload/--no-upload", default=False)
@click.option("--delete/--no-delete", default=False)
@click.pass_context
def storage_link_for(
    ctx: click.Context, path: str, expiration: int, download: bool, upload: bool, delete: bool
) -> None:
    """Make a link by which anybody can do what the flags say."""
    operations = ShareLinkOperation(0)
    for wanted, operation in (
        (download, ShareLinkOperation.download),
        (upload, ShareLinkOperation.upload),
        (delete, ShareLinkOperation.remove),
    ):
        if wanted:
            operations |= operation
    try:
        url = _backend(ctx).link_to(
            path=path, operation=operations, expire=utc_now() + timedelta(seconds=expiration)
        )
    except (StorageError, ValueError, NotImplementedError) as error:
        click.echo(str(error))
        ctx.abort()
    click.echo(url)


def add_cli_to_app(app: Flask, cli_group_name: str) -> None:
    """Give an application the commands."""
    app.cli.add_command(storage, name=cli_group_name)


def _backend(ctx: click.Context) -> StorageBackend:
    backend: StorageBackend = ctx.obj.data["storage"]
    return backend


def _line(entry: ListEntry) -> str:
    day: Any = entry.last_modified
    return f"{day.strftime('%b %d %Y') if day else ''}\t{_size(entry.size)}\t{entry.name}"


def _size(size: float) -> str:
    """Bytes as ``ls -h`` shows them."""
    power = 0
    while size >= 1024:
        size /= 1024
        power += 1
    return f"{size:.1f}{'BKMGTPE'[power]}" if power else f"{size:.0f}B"
