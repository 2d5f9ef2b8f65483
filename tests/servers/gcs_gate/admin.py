"""What tests may do to the gate itself, below /_gate/ (this is no part of any API).

GET  /_gate/health                       200
GET  /_gate/clock                        {"now": seconds, "shift": seconds}
POST /_gate/clock    {"shift": seconds}  set the difference to the machine's clock
POST /_gate/options  {"rewrite_bytes"}   bytes that one call of rewriteTo copies at most
POST /_gate/reset                        forget buckets, uploads, log, shift
GET  /_gate/notes                        what was refused as undocumented or missing
POST /_gate/accounts {"email", "project"?, "role"?, "public_key"?}  the key file of an account
POST /_gate/tokens   {"email", "token"?, "seconds"?, "scopes"?}     {"token"}
POST /_gate/hmac     {"email"}           {"access_id", "secret"}
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.servers.gcs_gate import keys
from tests.servers.gcs_gate.errors import invalid, not_found
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.wire import Request, Response, json_response

PREFIX = "/_gate/"


async def handle(gate: Gate, request: Request) -> Response:
    """Answer one of the calls above."""
    request.style = "json"
    what = f"{request.method} {request.raw_path.removeprefix(PREFIX)}"
    body = await request.read_json() if request.method == "POST" else {}
    try:
        return json_response(_call(gate, request, what, body))
    except (KeyError, TypeError, ValueError) as error:
        raise invalid(f"{what}: {error!r}") from None


def _call(gate: Gate, request: Request, what: str, body: dict[str, Any]) -> dict[str, Any]:
    keyring = gate.keyring
    match what:
        case "GET health":
            return {}
        case "GET clock":
            return {"now": gate.clock.now(), "shift": gate.clock.shift}
        case "POST clock":
            gate.clock.shift = float(body["shift"])
            return {"now": gate.clock.now(), "shift": gate.clock.shift}
        case "POST options":
            gate.options = replace(gate.options, rewrite_bytes=int(body["rewrite_bytes"]))
            return {"rewrite_bytes": gate.options.rewrite_bytes}
        case "POST reset":
            gate.reset()
            return {}
        case "GET notes":
            return {"notes": gate.notes}
        case "POST accounts":
            project = body.get("project", gate.options.project)
            account = keyring.add(body["email"], project, body.get("role"))
            if "public_key" in body:
                return {
                    "private_key_id": keyring.add_public_key(account, body["public_key"].encode())
                }
            return keyring.new_key(account, request.origin)
        case "POST tokens":
            made = keyring.new_token(
                body["email"],
                seconds=float(body.get("seconds", 3600)),
                scopes=body.get("scopes", keys.SCOPES),
                text=body.get("token"),
            )
            return {"token": made}
        case "POST hmac":
            access_id, secret = keyring.new_hmac(body["email"])
            return {"access_id": access_id, "secret": secret}
        case _:
            raise not_found(what)
