"""TLS contexts, one for each set of settings: loading the certificates takes milliseconds."""

from __future__ import annotations

import functools
import ssl

from storage_core.errors import ConfigError
from storage_core.http.settings import HttpSettings


def tls_context(settings: HttpSettings) -> ssl.SSLContext:
    """The context for connections to services.

    Raises:
        ConfigError: a certificate or key can not be read, or does not fit.
    """
    return _context(settings.verify, settings.ca_file, settings.client_cert, settings.client_key)


@functools.lru_cache(maxsize=32)
def _context(
    verify: bool, ca_file: str | None, client_cert: str | None, client_key: str | None
) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca_file {ca_file!r} can not be read: {_why(error)}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    if client_cert is not None:
        try:
            context.load_cert_chain(client_cert, client_key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            names = " and ".join(repr(name) for name in (client_cert, client_key) if name)
            raise ConfigError(
                f"client_cert, client_key: {names} can not be used: {_why(error)}"
            ) from None
    elif client_key is not None:
        raise ConfigError("client_key is set without client_cert; set both")
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal.
    raise ssl.SSLError("the key is encrypted, which is not supported; decrypt it")


def _why(error: OSError) -> str:
    return error.strerror or str(error)
