"""profiles, doctor, config, serve, fsck, import-tree, completion, help, conformance."""

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import storage_core
from storage_core import errors
from storage_core.cli import status
from storage_core.cli.app import build, import_all
from tests.cli.conftest import SCRIPT, cli, process

# -- profiles and configuration ---------------------------------------------------


def test_profiles(workspace: Path):
    dev, archive, *built_in = cli("profiles", "--json").ok().records
    assert dev == {
        "name": "dev",
        "driver": "local",
        "source": f"{workspace / 'storage.toml'}:4",
        "default": True,
    }
    assert archive["default"] is False
    assert [item["name"] for item in built_in] == ["local", "memory"]


def test_doctor(workspace: Path):
    checks = {item["what"]: item for item in cli("doctor", "--json").ok().records}
    assert checks["driver local"]["result"] == "ok"
    assert checks["driver s3"]["result"] == "ok"
    assert checks["profile dev"]["detail"] == f"local {workspace / 'data'}"
    assert checks["profile archive"]["result"] == "ok"
    assert "profile local" not in checks, "built-in profiles are not opened needlessly"
    assert not Path(os.environ["HOME"], ".local").exists()
    only = {item["what"] for item in cli("doctor", "--json", "--profile", "dev").ok().records}
    assert "profile archive" not in only


def test_doctor_finds_what_is_wrong(workspace: Path):
    config = workspace / "storage.toml"
    with config.open("a", encoding="utf-8") as file:
        file.write('\n[profiles.broken]\ndriver = "local"\nrot = "x"\n')
        file.write('\n[profiles.cloud]\ndriver = "s3"\n')  # and this home has no credentials
    (workspace / "archive").write_bytes(b"no folder")
    done = cli("doctor", "--json")
    assert done.status == status.CONFIG
    wrong = {item["what"]: item["detail"] for item in done.records if item["result"] == "error"}
    assert "rot" in wrong["configuration of broken"]
    assert "no credentials were found" in wrong["configuration of cloud"]
    assert str(workspace / "archive") in wrong["configuration of archive"]
    told = [item["what"] for item in done.records if item["result"] == "error"]
    assert len(told) == len(set(told)), "nothing is told twice"
    config.write_text("profiles = [", "utf-8")
    done = cli("doctor", "--json")
    assert done.status == status.CONFIG
    assert done.records[-1]["what"] == "configuration"
    assert str(config) in done.records[-1]["detail"]


@pytest.mark.parametrize(
    ("error", "result", "expected"),
    [
        (errors.UnavailableError("no answer"), "error", status.FAILURE),
        (errors.AuthenticationError("no answer"), "error", status.FAILURE),
        (errors.PermissionDeniedError("no answer"), "warning", status.OK),
        (OSError(5, "no answer"), "error", status.FAILURE),
    ],
)
def test_doctor_tells_how_a_service_fails(
    monkeypatch: pytest.MonkeyPatch, error: Exception, result: str, expected: int
):
    def fail(self: object, *, prefix: str = "") -> None:
        raise error

    monkeypatch.setattr(storage_core.Storage, "list_buckets", fail)
    done = cli("doctor", "--json", "--profile", "dev")
    assert done.status == expected
    assert done.records[-1] == {"result": result, "what": "profile dev", "detail": "no answer"}


def test_config_commands(workspace: Path):
    assert cli("config", "path").ok().text.strip() == str(workspace / "storage.toml")
    rows = cli("config", "show", "--json", "--profile", "dev").ok().records
    assert {"profile": "dev", "key": "root", "value": "data"}.items() <= next(
        row for row in rows if row["key"] == "root"
    ).items()
    assert json.loads(cli("config", "schema").ok().text)["$schema"]
    cli("config", "check").ok()
    with (workspace / "storage.toml").open("a", encoding="utf-8") as file:
        file.write('\n[profiles.broken]\ndriver = "local"\nrot = "x"\n')
    assert cli("config", "check").status == status.CONFIG
    other = workspace / "other.toml"
    other.write_text('[profiles.one]\ndriver = "memory"\n', "utf-8")
    cli("config", "check", "--config", str(other)).ok()
    cli("config", "trust", str(other)).ok()


# -- the link server --------------------------------------------------------------


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve(fruit: str, monkeypatch: pytest.MonkeyPatch, workers: str):
    child = subprocess.Popen(
        [SCRIPT, "serve", "--port", "0", "--workers", workers, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        line = json.loads(child.stdout.readline())
        assert line["serving"] == "dev"
        monkeypatch.setenv("STORAGE_PROFILES__DEV__LINKS__BASE_URL", line["address"])
        url = cli("presign", "fruit/readme.txt").ok().text.strip()
        assert urlsplit(url).port == urlsplit(line["address"]).port
        assert fetch(url) == b"about readme.txt\n"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(url[:-3])
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
        assert child.returncode == status.OK, errors
        assert "Traceback" not in errors
        assert "sc-signature" not in errors
    finally:
        child.kill()
        child.communicate()


def test_serve_tells_what_it_can_not_do(fruit: str):
    done = process("serve", "--port", "99999")
    assert done.status == status.CONFIG
    assert "99999" in done.stderr
    assert process("serve", "--profile", "none").status == status.CONFIG


# -- objects on this machine ------------------------------------------------------


def test_fsck_finds_damage(fruit: str, workspace: Path):
    (workspace / "big").write_bytes(bytes(1_000_000))
    cli("put", "big", "fruit/big").ok()
    assert cli("fsck").ok().text == "1 bucket, 5 objects, 977 KiB: clean\n"
    cli("fsck", "fruit", "--deep").ok()
    data = max((workspace / "data").rglob("*"), key=lambda file: file.stat().st_size)
    data.chmod(0o600)
    data.write_bytes(b"\1" + bytes(999_999))
    cli("fsck").ok()
    done = cli("fsck", "--deep", "--json")
    assert done.status == status.INTEGRITY
    finding, summary = done.records
    assert (finding["bucket"], finding["key"]) == ("fruit", "big")
    assert summary["clean"] is False
    assert cli("fsck", "none").status == status.NOT_FOUND
    assert cli("fsck", "fruit/x").status == status.USAGE


def test_fsck_is_not_for_every_driver():
    done = cli("fsck", "--profile", "memory")
    assert done.status == status.UNSUPPORTED
    assert "memory" in done.stderr


def test_import_tree(fruit: str, workspace: Path):
    for name in ("a.txt", "sub/b.txt"):
        place = workspace / "tree" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name, "utf-8")
    (workspace / "tree" / "link").symlink_to("a.txt")
    done = cli("import-tree", "tree", "fruit/in/").ok()
    assert done.text.startswith("2 objects, 14 B,")
    assert "link" in done.stderr
    assert cli("cat", "fruit/in/sub/b.txt").ok().text == "sub/b.txt"
    (record,) = cli("import-tree", "tree", "fruit/in/", "--json", "-n").ok().records
    assert len(record["skipped"]) == 3
    assert cli("import-tree", "tree", "fruit/in").status == status.USAGE
    assert cli("import-tree", "tree", "none").status == status.NOT_FOUND


def test_import_tree_goes_through_a_prefix(fruit: str, workspace: Path):
    with (workspace / "storage.toml").open("a", encoding="utf-8") as file:
        file.write('\n[profiles.part]\ndriver = "local"\nroot = "data"\nprefix = "p/"\n')
    (workspace / "tree").mkdir()
    (workspace / "tree" / "a.txt").write_bytes(b"a")
    cli("import-tree", "tree", "part:fruit/in/").ok()
    assert cli("ls", "part:fruit").ok().lines == ["in/"]
    assert cli("cat", "fruit/p/in/a.txt").ok().text == "a"


# -- completion and help ----------------------------------------------------------

BASH = """
source <(storage completion bash) || exit 9
complete -p storage || exit 8
COMP_WORDS=(storage {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMP_LINE="${{COMP_WORDS[*]}}"; COMP_POINT=${{#COMP_LINE}}
$(complete -p storage | sed 's/.*-F \\([^ ]*\\).*/\\1/') storage
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pre", "presign"),
        ("ls --rec", "--recursive"),
        ("tags s", "set"),
        ("ls --prof", "--profile"),
        ("completion f", "fish"),
        ("ls --profile a", "archive"),
        ("tags get --config other.toml --profile o", "one"),
    ],
)
def test_completion_in_bash(workspace: Path, words: str, expected: str):
    (workspace / "other.toml").write_text('[profiles.one]\ndriver = "memory"\n', "utf-8")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    path = os.pathsep.join([str(SCRIPT.parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        [bash, "--norc", "--noprofile", "-u", "-c", BASH.format(words=words)],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert expected in [line.strip() for line in done.stdout.splitlines()[1:]]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_of_other_shells(shell: str):
    script = cli("completion", shell).ok().text
    assert "presign" in script
    if program := shutil.which(shell):
        done = subprocess.run([program, "-n"], input=script, text=True, check=False, timeout=60)
        assert done.returncode == 0
    assert cli("completion", "tcsh").status == status.USAGE


def commands(prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    app = build()
    for name in prefix:
        app = app[name]
    names = [name for name in app if not name.startswith("-")]
    if not names:
        return [prefix]
    return [found for name in names for found in commands((*prefix, name))]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]):
    text = cli(*command, "--help").ok().text
    assert f"Usage: storage {' '.join(command)}" in text
    assert "--profile" in text
    assert "[default: False]" not in text
    app = build()
    import_all(app)
    for name in command:
        app = app[name]
    function = app.default_command
    assert function is not None
    assert function.__doc__
    for parameter in app.assemble_argument_collection(parse_docstring=True):
        if parameter.parse and parameter.show:
            assert parameter.parameter.help, f"{command}: {parameter.name} is not explained"


# -- conformance ------------------------------------------------------------------


def test_conformance(workspace: Path):
    done = process(
        "conformance", "--profile", "memory", "--report", "out.json", "--face", "blocking",
        "--part", "tags",
    ).ok()  # fmt: skip
    report = json.loads((workspace / "out.json").read_text("utf-8"))
    assert report["profile"] == "memory"
    assert report["cases"]
    assert {case["outcome"] for case in report["cases"]} <= {"passed", "unsupported"}
    assert done.text
    assert process("conformance", "--profile", "none", "--report", "x.json").status == status.CONFIG


def test_the_version_is_the_distributions():
    assert storage_core.__version__ in process("--version").ok().text
