"""The Flask view that redeems share links; needs the extra ``flask``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from storage_core.compat.keg.backends.base import (
    InternalLinksStorageBackend,
    InternalLinkTokenData,
)
from storage_core.compat.keg.redeem import LinkRefusedError, check, perform

if TYPE_CHECKING:
    from flask import Response

    from storage_core.compat.keg.redeem import Redeemed


def _exempt_from_csrf(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view, of which Flask-WTF asks no token, if that is in use and the application known:
    the link itself is the proof that the request is meant."""
    import flask

    csrf = flask.current_app.extensions.get("csrf") if flask.has_app_context() else None
    return view if csrf is None else csrf.exempt(view)


class LinkViewMixin:
    """Methods of a `flask.views.MethodView` that redeems share links.

    404 without a token or file; 403 for a token that is not good, has expired or is for
    something else. GET streams the file, POST and PUT write it and DELETE removes it; these
    answer ``OK``.
    """

    decorators: ClassVar[list[Callable[..., Any]]] = [_exempt_from_csrf]

    def get_storage_backend(self) -> InternalLinksStorageBackend:
        """The backend whose links these are; to be overridden."""
        raise NotImplementedError

    def get_request_token(self) -> str | None:
        """The token of the request."""
        import flask

        return flask.request.args.get("token")

    def get_token_data(self, storage: InternalLinksStorageBackend) -> InternalLinkTokenData:
        """What the request's token allows; ends the request where it is not good."""
        try:
            return check(storage, self.get_request_token())
        except LinkRefusedError as error:
            _refuse(error)

    def on_upload_success(self, token_data: InternalLinkTokenData) -> Response:
        """The answer to an upload."""
        return _ok()

    def on_delete_success(self, token_data: InternalLinkTokenData) -> Response:
        """The answer to a deletion."""
        return _ok()

    def get(self) -> Response:
        """Stream the file."""
        import flask

        done = self._perform(flask.request.method)
        # Werkzeug closes what it iterates over, also where the client goes away.
        return flask.Response(done.file, headers=dict(done.headers))

    def post(self) -> Response:
        """Write the file."""
        return self.on_upload_success(self._perform("POST").data)

    def put(self) -> Response:
        """As `post`."""
        return self.post()

    def delete(self) -> Response:
        """Remove the file."""
        return self.on_delete_success(self._perform("DELETE").data)

    def _perform(self, method: str) -> Redeemed:
        import flask

        storage = self.get_storage_backend()
        data = self.get_token_data(storage)
        try:
            return perform(storage, method, data, flask.request.stream)
        except LinkRefusedError as error:
            _refuse(error)


def _refuse(error: LinkRefusedError) -> NoReturn:
    import flask

    flask.abort(error.status or 403)


def _ok() -> Response:
    import flask

    return flask.Response("OK", status=200)
