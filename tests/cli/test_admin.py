"""``storage admin``, on a database of either kind."""

import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage_core.access import audit, buckets, credentials, projects, setup
from storage_core.cli import status
from storage_core.errors import AuthenticationError, UnavailableError
from storage_core.state import State, open_state
from tests.cli.conftest import Done, cli, process
from tests.servers import fixtures
from tests.servers.base import free_ports
from tests.servers.postgres import database

postgres = fixtures.postgres
database_url = fixtures.database_url

PASSWORD = "pass-that-nobody-may-see"
READ = {"rule": {"effect": "Allow", "action": "Z3:GetObject", "resource": "Z3:fruit/*"}}

Admin = Callable[..., Done]


@pytest.fixture
def admin(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Admin:
    """Runs `storage admin` on a database with the project `default`."""
    monkeypatch.setenv("STORAGE_GATEWAY__DATABASE", database_url)

    def run(*arguments: str, stdin: bytes = b"") -> Done:
        return cli("admin", *arguments, stdin=stdin)

    run("project", "create", "default").ok()
    return run


@pytest.fixture
def state(admin: Admin, database_url: str):
    state = open_state(database_url)
    yield state
    state.close()


def token_of(admin: Admin, *arguments: str) -> str:
    return admin("token", "create", *arguments).ok().text.strip()


# -- the whole of it ----------------------------------------------------------------


def test_from_nothing_to_a_user_who_may_read(admin: Admin, state: State):
    assert admin("user", "create", "alice").ok().text == "made the user alice\n"
    done = admin("policy", "put", "read", "-", stdin=json.dumps(READ).encode()).ok()
    assert done.text == "stored the policy read\n"
    assert admin("policy", "attach", "read", "alice").ok().text == "attached read to alice\n"
    token = token_of(admin, "alice")
    actor = credentials.authenticate(state, token)
    assert actor.principal_name == "alice"
    assert actor.allows("Z3:GetObject", "Z3:fruit/apple")
    admin("policy", "detach", "read", "alice").ok()
    assert not credentials.authenticate(state, token).allows("Z3:GetObject", "Z3:fruit/apple")
    events = [record["action"] for record in admin("audit", "--json").ok().records]
    assert events == [
        f"admin.{name}"
        for name in (
            "policy.detach",
            "token.create",
            "policy.attach",
            "policy.put",
            "user.create",
            "project.create",
        )
    ]


def test_a_token_is_shown_once(admin: Admin, state: State):
    admin("user", "create", "ci", "--kind", "service").ok()
    done = admin("token", "create", "ci", "--expires-in", "2h", "--label", "build").ok()
    token = done.text.removesuffix("\n")
    assert credentials.authenticate(state, token).principal_name == "ci"
    identity = credentials.id_of(token)
    assert f"the token {identity} of ci, which expires" in done.stderr
    later = [admin("token", "list", *options).ok() for options in ((), ("--json",), ("ci",))] + [
        admin("audit", "--json").ok(),
        admin("user", "list", "--json").ok(),
    ]
    for done in later:
        assert token[-43:] not in done.text + done.stderr
    (record,) = admin("token", "list", "--json").ok().records
    assert (record["id"], record["user"], record["label"]) == (identity, "ci", "build")
    assert (record["state"], record["kind"]) == ("good", "bearer")


def test_a_token_as_json_and_when_quiet(admin: Admin, state: State):
    admin("user", "create", "alice").ok()
    done = admin("--json", "token", "create", "alice", "--kind", "api-key").ok()
    (record,) = done.records
    assert credentials.authenticate(state, record["token"]).credential_id == record["id"]
    assert (record["user"], record["kind"], done.stderr) == ("alice", "api-key", "")
    quiet = admin("-q", "token", "create", "alice").ok()
    credentials.authenticate(state, quiet.text.strip())
    assert quiet.stderr == ""


def test_tokens_are_revoked_by_id_or_whole(admin: Admin, state: State):
    admin("user", "create", "alice").ok()
    tokens = [token_of(admin, "alice") for _ in range(3)]
    identities = [credentials.id_of(token) for token in tokens]
    done = admin("token", "revoke", identities[0], tokens[1]).ok()
    assert done.lines == [f"revoked {identity}" for identity in identities[:2]]
    for token in tokens[:2]:
        with pytest.raises(AuthenticationError):
            credentials.authenticate(state, token)
    credentials.authenticate(state, tokens[2])
    states = [record["state"] for record in admin("token", "list", "--json").ok().records]
    assert states == ["revoked", "revoked", "good"]
    unknown = admin("token", "revoke", "sc_nothing_" + "x" * 43, identities[2])
    assert unknown.status == status.NOT_FOUND
    assert unknown.lines == [f"revoked {identities[2]}"]
    assert "x" * 43 not in unknown.stderr


def test_users_are_disabled_and_enabled(admin: Admin, state: State):
    admin("user", "create", "alice").ok()
    token = token_of(admin, "alice")
    assert admin("user", "disable", "alice").ok().text == "disabled the user alice\n"
    with pytest.raises(AuthenticationError):
        credentials.authenticate(state, token)
    assert admin("user", "list").ok().text.split("\t")[:3] == ["alice", "user", "disabled"]
    admin("user", "enable", "alice").ok()
    credentials.authenticate(state, token)
    admin("user", "delete", "alice").ok()
    assert admin("user", "list").ok().text == ""
    assert admin("token", "list").ok().text == ""


def test_projects_are_apart(admin: Admin):
    admin("project", "create", "other").ok()
    admin("user", "create", "alice", "--project", "other").ok()
    assert admin("user", "list").ok().text == ""
    assert admin("user", "list", "--project", "other").ok().text.startswith("alice\t")
    assert [line.split("\t")[0] for line in admin("project", "list").ok().lines] == [
        "default",
        "other",
    ]
    (made,) = [r for r in admin("project", "list", "--json").ok().records if r["name"] == "other"]
    admin("project", "delete", "other").ok()
    assert admin("user", "list", "--project", "other").status == status.NOT_FOUND
    trail = admin("audit", "--project", made["id"], "--json").ok().records
    assert [record["action"] for record in trail] == [
        "admin.project.delete",
        "admin.user.create",
        "admin.project.create",
    ]


def test_the_trail_names_users_and_comes_in_pages(admin: Admin):
    for number in range(5):
        admin("user", "create", f"user-{number}").ok()
    first = admin("audit", "--limit", "2", "--json").ok().records
    second = admin("audit", "--limit", "2", "--before", first[-1]["id"], "--json").ok().records
    assert [record["target"] for record in first + second] == [
        f"user-{number}" for number in (4, 3, 2, 1)
    ]
    line = admin("audit", "--limit", "1").ok().text.rstrip("\n").split("\t")
    assert line[1:] == ["", "admin.user.create", "user-4", "ok"]


def test_the_trail_is_cut_off(admin: Admin, state: State):
    """In every project, also one that was deleted; each tells of it if it lost something."""
    admin("project", "create", "other").ok()
    (other,) = [r for r in admin("project", "list", "--json").records if r["name"] == "other"]
    admin("project", "delete", "other").ok()
    default = projects.by_name(state, "default").id
    old = State(state.engine, lambda: datetime.now(UTC) - timedelta(days=400))
    for number in range(5):
        for project in (default, other["id"]):
            audit.record(old, [audit.event(old, project, "Z3:PutObject", f"old-{number}")])
    for refused in ("0d", "soon", "99999999d"):
        assert admin("prune-audit", "--older-than", refused).status == status.USAGE, refused
    assert admin("prune-audit").status == status.USAGE
    (done,) = admin("prune-audit", "--older-than", "500d", "--json").ok().records
    assert done["deleted"] == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "PRUNED_AT_ONCE", 2)
        cut = admin("prune-audit", "--older-than", "365d").ok()
    assert cut.text.startswith("deleted 10 events older than 2")
    for project in ("default", other["id"]):
        first, *left = admin("audit", "--project", project, "--json").ok().records
        assert first["action"] == "admin.prune_audit"
        assert first["target"].startswith("5 events older than 2")
        assert left != []
        assert {record["action"].partition(".")[0] for record in left} == {"admin"}
    (done,) = admin("prune-audit", "--older-than", "365d", "--json").ok().records
    assert done["deleted"] == 0


def test_a_change_without_its_event_is_none(
    admin: Admin, state: State, monkeypatch: pytest.MonkeyPatch
):
    admin("user", "create", "alice").ok()
    identity = credentials.id_of(token_of(admin, "alice"))
    admin("policy", "put", "read", "-", stdin=json.dumps(READ).encode()).ok()

    def fail(*_: object) -> None:
        raise UnavailableError("the trail can not be written")

    def seen() -> list[str]:
        lists = ("user list", "token list", "policy list", "project list")
        return [admin(*listed.split(), "--json").ok().text for listed in lists]

    before = seen()
    with monkeypatch.context() as patch:
        patch.setattr(audit, "record", fail)
        for arguments in (
            "user create bob",
            "user disable alice",
            "user delete alice",
            "token create alice",
            f"token revoke {identity}",
            "policy put other -",
            "policy attach read alice",
            "policy delete read",
            "project create other",
            "project delete default",
        ):
            done = admin(*arguments.split(), stdin=b'{"rule": []}')
            assert (done.status, done.text) == (status.TRANSIENT, ""), arguments
    assert seen() == before


def test_after_a_first_start(database_url: str, monkeypatch: pytest.MonkeyPatch):
    state = open_state(database_url)
    state.migrate()
    setup.first_start(state)
    state.close()
    monkeypatch.setenv("STORAGE_GATEWAY__DATABASE", database_url)
    (event,) = cli("admin", "audit", "--json").ok().records
    (made,) = cli("admin", "token", "list", "--json").ok().records
    assert (event["action"], event["target"]) == ("admin.first_start", f"admin {made['id']}")
    (user,) = cli("admin", "user", "list", "--json").ok().records
    assert (user["name"], user["policies"]) == ("admin", ["everything"])
    (policy,) = cli("admin", "policy", "list", "--json").ok().records
    assert policy["users"] == ["admin"]


# -- policies -------------------------------------------------------------------------


def test_a_policy_is_shown_as_it_was_given(admin: Admin, workspace: Path):
    (workspace / "read.json").write_text(json.dumps(READ), "utf-8")
    admin("policy", "put", "read", "read.json").ok()
    assert json.loads(admin("policy", "show", "read").ok().text) == READ
    (record,) = admin("policy", "show", "read", "--json").ok().records
    assert record["document"] == READ
    admin("user", "create", "alice").ok()
    admin("policy", "attach", "read", "alice").ok()
    assert admin("policy", "list").ok().text.rstrip("\n").split("\t")[::2] == ["read", "alice"]
    held = admin("policy", "delete", "read")
    assert (held.status, "alice" in held.stderr) == (status.CONFLICT, True)
    admin("policy", "detach", "read", "alice").ok()
    admin("policy", "delete", "read").ok()
    assert admin("policy", "show", "read").status == status.NOT_FOUND


def test_a_policy_that_is_none(admin: Admin):
    for document, told in (
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"rule": [], "rule": []}', "twice"),
        (b"[]", "a list"),
        (b'{"rule": {"effect": "Allow", "action": "Z3:Nothing", "resource": "*"}}', "Z3:Nothing"),
    ):
        done = admin("policy", "put", "p", "-", stdin=document)
        assert done.status == status.USAGE, document
        assert told in done.stderr
        assert len(done.stderr) < 1000
    assert admin("policy", "list").ok().text == ""
    assert admin("policy", "put", "p", "missing.json").status == status.NOT_FOUND


# -- buckets --------------------------------------------------------------------------


def test_buckets_of_a_project(admin: Admin):
    admin("project", "create", "other").ok()
    first = admin("bucket", "create", "Fruit", "--json").ok().records[0]
    second = admin("bucket", "create", "Fruit", "--project", "other", "--json").ok().records[0]
    assert (first["name"], first["profile"]) == ("Fruit", "dev")
    assert first["physical"] != second["physical"]
    assert admin("bucket", "create", "Fruit").status == status.CONFLICT
    assert admin("bucket", "create", "a/b").status == status.USAGE
    assert admin("bucket", "create", "served").ok().stderr == ""
    admin("bucket", "delete", "served").ok()
    told = admin("bucket", "create", "archived", "--profile", "archive").ok().stderr
    assert "does not serve 'archive'" in told
    listed = [line.split("\t") for line in admin("bucket", "list").ok().lines]
    assert [(name, stage, place.partition(":")[0]) for name, stage, _, place in listed] == [
        ("Fruit", "active", "dev"),
        ("archived", "active", "archive"),
    ]
    cli("put", "-", f"{first['physical']}/apple", stdin=b"x").ok()
    assert admin("bucket", "delete", "Fruit").status == status.CONFLICT
    assert admin("project", "delete", "default").status == status.CONFLICT
    cli("rm", f"{first['physical']}/apple").ok()
    for name in ("Fruit", "archived"):
        admin("bucket", "delete", name).ok()
    assert admin("bucket", "list").ok().text == ""
    assert [r["name"] for r in admin("bucket", "list", "--project", "other", "--json").records] == [
        "Fruit"
    ]


def test_a_bucket_that_was_never_quite_made_is_shown_and_deleted(
    admin: Admin, state: State, monkeypatch: pytest.MonkeyPatch
):
    """It must not keep its project from being deleted for ever."""

    def fail(*_: object) -> None:
        raise UnavailableError("the database is gone")

    admin("project", "create", "other").ok()
    with monkeypatch.context() as patch:
        patch.setattr(buckets, "_change", fail)
        assert admin("bucket", "create", "fruit", "--project", "other").status != 0
    (left,) = admin("bucket", "list", "--project", "other", "--json").ok().records
    assert (left["name"], left["state"]) == ("fruit", "creating")
    assert cli("ls").ok().text.count("sc-") == 1
    assert admin("project", "delete", "other").status == status.CONFLICT
    admin("bucket", "delete", "fruit", "--project", "other").ok()
    assert cli("ls").ok().text.count("sc-") == 0
    admin("project", "delete", "other").ok()


# -- where the database is ----------------------------------------------------------------


def test_the_database_of_the_configuration(workspace: Path):
    with (workspace / "storage.toml").open("a", encoding="utf-8") as config:
        config.write(f'\n[gateway]\ndatabase = "sqlite:///{workspace}/kept/state.db"\n')
    process("admin", "project", "create", "default").ok()
    assert (workspace / "kept" / "state.db").exists()
    other = ("--database", f"sqlite:///{workspace}/other.db")
    assert cli("admin", "project", "list", *other).ok().text == ""
    assert cli("admin", "project", "list").ok().text.startswith("default\t")


def test_without_any_setting_it_is_in_the_users_folder(tmp_path: Path):
    cli("admin", "project", "create", "default").ok()
    (found,) = (tmp_path / "home").rglob("state.db")
    assert stat.S_IMODE(found.stat().st_mode) == 0o600
    assert stat.S_IMODE(found.parent.stat().st_mode) == 0o700


def test_a_fresh_database_is_set_up(workspace: Path):
    url = f"sqlite:///{workspace}/state.db"
    cli("admin", "project", "list", "--database", url).ok()
    assert cli("admin", "user", "list", "--database", url).status == status.NOT_FOUND


@pytest.mark.parametrize("json_option", [(), ("--json",)])
def test_no_password_is_shown(json_option: tuple[str, ...], monkeypatch: pytest.MonkeyPatch):
    (port,) = free_ports(1)
    for url, expected in (
        (f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/d", status.TRANSIENT),
        (f"postgresql://127.0.0.1:{port}/d?password={PASSWORD}", status.TRANSIENT),
        (f"mysql://u:{PASSWORD}@127.0.0.1/d", status.CONFIG),
        (f"postgresql://u:{PASSWORD}@host:x/d", status.CONFIG),
    ):
        monkeypatch.setenv("STORAGE_GATEWAY__DATABASE", url)
        for arguments in ((), ("--database", url)):
            done = cli("admin", "user", "list", *json_option, *arguments)
            assert done.status == expected, done.stderr
            assert PASSWORD not in done.text + done.stderr
    shown = cli("config", "show", *json_option)
    assert PASSWORD not in shown.text + shown.stderr


# -- what can not be ------------------------------------------------------------------------


def test_statuses(admin: Admin):
    admin("user", "create", "alice").ok()
    for expected, arguments in (
        (status.CONFLICT, "user create alice"),
        (status.USAGE, "user create a/b"),
        (status.USAGE, "user create bob --kind robot"),
        (status.NOT_FOUND, "user disable bob"),
        (status.NOT_FOUND, "user list --project none"),
        (status.CONFLICT, "project create default"),
        (status.NOT_FOUND, "project delete none"),
        (status.NOT_FOUND, "token create bob"),
        (status.NOT_FOUND, "token list bob"),
        (status.USAGE, "token create alice --expires-in soon"),
        (status.USAGE, "token revoke"),
        (status.NOT_FOUND, "policy attach none alice"),
        (status.NOT_FOUND, "policy show none"),
        (status.NOT_FOUND, "bucket delete none"),
        (status.USAGE, "audit --limit 0"),
        (status.NOT_FOUND, "audit --project none"),
    ):
        done = admin(*arguments.split())
        assert done.status == expected, (arguments, done.stderr)
        assert done.text == ""
        assert "Traceback" not in done.stderr


def test_every_command_says_what_it_does(workspace: Path):
    assert os.listdir(workspace) == ["storage.toml"]
    families = {
        "project": "create list delete",
        "user": "create list disable enable delete",
        "token": "create list revoke",
        "policy": "put list show delete attach detach",
        "bucket": "create list delete",
    }
    top = cli("admin", "--help").ok().text
    assert "audit" in top
    for family, commands in families.items():
        assert family in top
        helped = cli("admin", family, "--help").ok().text
        for command in commands.split():
            assert command in helped
            text = cli("admin", family, command, "--help").ok().text
            assert "--database" in text
            assert ("--project" in text) == (family != "project")
    assert os.listdir(workspace) == ["storage.toml"]


# -- backups ----------------------------------------------------------------------------


def test_a_backup_holds_all_and_goes_back_to_either_database(
    admin: Admin, workspace: Path, postgres: object
):
    admin("user", "create", "alice").ok()
    admin("policy", "put", "read", "-", stdin=json.dumps(READ).encode()).ok()
    admin("policy", "attach", "read", "alice").ok()
    token = token_of(admin, "alice", "--expires-in", "1w")
    admin("bucket", "create", "fruit").ok()
    kept = "kept?of=1.db"
    before = admin("audit", "--json").ok().text
    admin("backup", kept).ok()
    assert stat.S_IMODE((workspace / kept).stat().st_mode) == 0o600
    assert admin("backup", kept).status == status.CONFLICT
    assert admin("restore", kept).status == status.CONFLICT  # it is not empty
    with database(postgres) as elsewhere:  # type: ignore[arg-type]
        for url in (elsewhere, f"sqlite:///{workspace}/again.db"):
            done = admin("restore", kept, "--database", url, "--json").ok()
            assert done.records[0]["rows"] > 8
            assert admin("audit", "--json", "--database", url).ok().text == before
            assert len(admin("bucket", "list", "--database", url).ok().lines) == 1
            restored = open_state(url)
            actor = credentials.authenticate(restored, token)
            assert actor.allows("Z3:GetObject", "Z3:fruit/apple")
            restored.close()
    assert not list(workspace.glob("kept*-*"))


def test_backups_that_can_not_be(admin: Admin, workspace: Path):
    assert admin("restore", "missing.db").status == status.NOT_FOUND
    assert not (workspace / "missing.db").exists()
    (workspace / "text").write_text("no database " * 1000)
    assert admin("restore", "text").status == status.CONFIG
    assert admin("backup", "text/x").status == status.CONFIG
