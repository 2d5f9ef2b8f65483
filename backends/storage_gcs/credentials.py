"""Who asks: anonymous and a given access token ask nobody and import nothing; all else is
found and renewed by google-auth, the library that gcsfs stands on too.

The renewal blocks, so it goes through `storage_core.http.credentials`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, TypeVar

from storage_core.errors import (
    AuthenticationError,
    ConfigError,
    StorageError,
    UnavailableError,
)
from storage_core.http.credentials import Credentials, Fetched
from storage_core.model import EMPTY
from storage_gcs.google_http import GoogleTransport

if TYPE_CHECKING:
    from gcsfs.core import GCSFileSystem

    from storage_core.driver import IO
    from storage_gcs.settings import GcsSettings

T = TypeVar("T")

INSTALL: Final = "pip install 'storage-core[gcs]'"
PROJECT_VARIABLES: Final = ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")
SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.full_control",)
SOURCES: Final = frozenset({"google_default", "cloud", "anon"})
"""Values of the setting `token` that name where credentials come from."""
FRESH: Final = 60.0
"""Seconds for which a new token is not given up."""
IAM_SCOPE: Final = "https://www.googleapis.com/auth/iam"


class Account:
    """Who asks, for one profile; shared by threads or tasks.

    Args:
        settings: The profile's.
        io: The way of I/O; under ``"asyncio"`` nothing here blocks the loop.

    Attributes:
        google: The google-auth credentials, None for anonymous access and access tokens.
        info: The key file's content, where the profile names or holds one.
    """

    __slots__ = (
        "_common",
        "_found",
        "_io",
        "_project",
        "_renewed",
        "_static",
        "google",
        "info",
        "settings",
    )

    def __init__(self, settings: GcsSettings, io: IO) -> None:
        self.settings = settings
        self.google: Any = None
        self.info: Mapping[str, str] = EMPTY
        self._io = io
        self._project = settings.project
        self._common: dict[str, str] = {}
        if settings.user_project is not None:
            self._common["x-goog-user-project"] = settings.user_project
        self._static: dict[str, str] | None = None
        self._found: Credentials[dict[str, str]] | None = None
        self._renewed = 0.0

    @property
    def headers(self) -> dict[str, str] | None:
        """Headers of all requests, good without asking anyone; None if `get` has to be
        awaited. Not to be changed."""
        return self._static if self._found is None else self._found.current

    @property
    def anonymous(self) -> bool:
        """Whether requests go without credentials."""
        return self.settings.source == "anon"

    async def open(self) -> None:
        """Settle who asks. Sends no request, but for Google's own finding of a machine's
        account under ``google_default``.

        Raises:
            ConfigError: google-auth is not installed, a key file can not be read or is none,
                or there are no credentials.
        """
        source = self.settings.source
        if source == "anon":
            self._static = self._common
        elif isinstance(source, str) and _is_access_token(source):
            self._static = _with_token(self._common, source)
        else:
            self._found = Credentials(self._fetch, self._io)
            await self._in_thread(lambda: self._load(source))

    async def get(self) -> dict[str, str]:
        """Good headers.

        Raises:
            AuthenticationError: credentials could not be had or renewed.
        """
        if self._found is None:
            return self._static or self._common
        return await self._found.get()

    def refused(self, headers: Mapping[str, str]) -> bool:
        """The service did not accept these headers: whether others may be had.

        A token that was given a moment ago is refused for another reason than its age, and
        the next one would be too.
        """
        found = self._found
        if found is None:
            return False
        if found.current is headers:
            if time.monotonic() - self._renewed < FRESH:
                return False
            found.refused()
        return True

    def project(self) -> str:
        """The project for buckets.

        Raises:
            ConfigError: neither profile nor credentials name one.
        """
        found = self._project or next(
            (value for name in PROJECT_VARIABLES if (value := os.environ.get(name))), None
        )
        if found is None:
            raise ConfigError(
                "buckets are created and listed in a project, and neither the profile nor the"
                " credentials name one; set project"
            )
        return found

    def filesystem(self) -> GCSFileSystem:
        """The same account as a filesystem of gcsfs, for other libraries.

        Raises:
            ConfigError: gcsfs is not installed.
        """
        try:
            # The class of `gcsfs` itself probes buckets over gRPC, which other endpoints lack.
            from gcsfs.core import GCSFileSystem
        except ImportError as error:
            raise ConfigError(f"gcsfs is not installed; {INSTALL}") from error
        settings = self.settings
        source = settings.source
        return GCSFileSystem(
            project=self._project,
            token=self.google or _fsspec_token(source),
            endpoint_url=settings.url,
            default_location=settings.location,
            requester_pays=settings.user_project or False,
            version_aware=settings.versions,
            skip_instance_cache=True,
            use_listings_cache=False,
        )

    # --- google-auth ------------------------------------------------------------------

    def _load(self, source: str | Mapping[str, str]) -> None:
        """Find the credentials; may block."""
        scopes = list(SCOPES)
        if self.settings.service_account_email is not None:
            scopes.append(IAM_SCOPE)
        with_errors(lambda: self._load_google(source, scopes))

    def _load_google(self, source: str | Mapping[str, str], scopes: list[str]) -> None:
        if source == "google_default":
            import google.auth

            self.google, project = google.auth.default(scopes=scopes)
            self._project = self._project or project
        elif source == "cloud":
            from google.auth import compute_engine

            machine: Any = compute_engine.Credentials
            self.google = machine()
        else:
            self.info = info = source if isinstance(source, Mapping) else _key_file(source)
            self.google = _of_info(info, scopes)
            self._project = self._project or info.get("project_id")

    def _fetch(self) -> Fetched[dict[str, str]]:
        credentials = self.google
        with_errors(lambda: credentials.refresh(GoogleTransport(self.settings.http)))
        expiry = credentials.expiry
        self._renewed = time.monotonic()
        ends = None if expiry is None else expiry.replace(tzinfo=UTC).timestamp()
        return Fetched(_with_token(self._common, credentials.token), ends)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._io == "blocking":
            return work()
        import asyncio

        return await asyncio.to_thread(work)


def with_errors(work: Callable[[], T]) -> T:
    """The result of what google-auth does, its errors as the library's own.

    Raises:
        ConfigError: google-auth is not installed, or there are no credentials.
        AuthenticationError: Google does not give a token.
        UnavailableError: who gives the token can not be reached.
    """
    try:
        from google.auth import exceptions
    except ImportError as error:
        raise ConfigError(f"google-auth is not installed; {INSTALL}") from error
    try:
        return work()
    except exceptions.DefaultCredentialsError as error:
        raise ConfigError(
            "no Google credentials were found: set token, or GOOGLE_APPLICATION_CREDENTIALS, or"
            f" run `gcloud auth application-default login` ({_short(error)})"
        ) from error
    except exceptions.RefreshError as error:
        raise _refused(error) from error
    except exceptions.TransportError as error:
        raise UnavailableError(
            f"the account's token could not be renewed: {_short(error)}", unsent=True
        ) from error
    except exceptions.GoogleAuthError as error:
        raise ConfigError(f"the credentials can not be used: {_short(error)}") from error


def _refused(error: Exception) -> StorageError:
    said = str(error)
    if getattr(error, "retryable", False):
        return UnavailableError(
            f"the account's token could not be renewed: {_short(error)}", unsent=True
        )
    if "iat and exp" in said or "reasonable timeframe" in said:
        return AuthenticationError(
            "Google refuses the time of the request for a token: this machine's clock is wrong;"
            " set it right"
        )
    return AuthenticationError(
        "Google gives no token for these credentials: they were revoked, deleted or have"
        f" expired; sign in again or make a new key ({_short(error)})"
    )


def _short(error: Exception) -> str:
    return str(error.args[0] if error.args else error)[:300]


def _of_info(info: Mapping[str, str], scopes: list[str]) -> Any:
    """Credentials of a key file's content."""
    kind = info.get("type")
    try:
        if kind == "service_account":
            from google.oauth2 import service_account

            key: Any = service_account.Credentials
            return key.from_service_account_info(info, scopes=scopes)
        if kind == "authorized_user":
            from google.oauth2.credentials import Credentials as UserCredentials

            # With the scopes they were made with: Google refuses others.
            user: Any = UserCredentials
            return user.from_authorized_user_info(info)
    except ValueError as error:
        raise ConfigError(f"token: the key file can not be used: {_short(error)}") from error
    raise ConfigError(
        f"token: a key file of type {kind!r} is not read here; set"
        " GOOGLE_APPLICATION_CREDENTIALS to its path, and token to google_default"
    )


def _key_file(source: str) -> dict[str, str]:
    """Content of a JSON file, or the JSON itself."""
    text = source
    if not source.lstrip().startswith("{"):
        path = os.path.expanduser(source)
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise ConfigError(
                f"token: the key file {path!r} can not be read: {error.strerror}"
            ) from error
    try:
        info = json.loads(text)
    except ValueError:
        info = None
    if not isinstance(info, dict):
        raise ConfigError("token: what should be a key file is no JSON object")
    return info


def _is_access_token(source: str) -> bool:
    """Whether it is neither a source's name, JSON, nor a path."""
    return not (
        source in SOURCES
        or source.lstrip().startswith("{")
        or source.endswith(".json")
        or source.startswith(("/", "./", "../", "~"))
        or os.path.exists(source)
    )


def _with_token(common: Mapping[str, str], token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", **common}


def _fsspec_token(source: str | dict[str, str]) -> Any:
    """The same for gcsfs, which would ask Google about an access token given as text."""
    if isinstance(source, str) and _is_access_token(source):
        from google.oauth2.credentials import Credentials as GivenToken

        given: Any = GivenToken
        return given(source)
    return source
