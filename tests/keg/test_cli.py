"""The commands of the plug-in: ``flask storage …``."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import flask
import pytest
from click.testing import Result

from storage_core.compat import keg
from storage_core.compat.keg import LocalFSStorage

SECRET = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> flask.Flask:
    root, here = tmp_path / "root", tmp_path / "here"
    root.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    made = flask.Flask(__name__)
    common = {"root": root, "secret_key": SECRET}
    made.config.update(
        KEG_STORAGE_PROFILES=[
            (LocalFSStorage, {"name": "files", "linked_endpoint": "https://x/y", **common}),
            (keg.StorageProfile, {"name": "cloud", "bucket": "cloud", "config": MEMORY}),
            (keg.StorageBackend, {"name": "bare"}),
        ],
        KEG_STORAGE_DEFAULT_LOCATION="files",
    )
    keg.Storage(made)
    return made


MEMORY = {"driver": "memory", "name": "keg-cli"}


def run(app: flask.Flask, *words: str, input: bytes | None = None) -> Result:  # noqa: A002
    return app.test_cli_runner().invoke(args=["storage", *words], input=input)


def test_put_list_get_copy_delete(app: flask.Flask, tmp_path: Path):
    (tmp_path / "here/a.txt").write_bytes(b"x" * 3 * 1024)
    done = run(app, "put", "a.txt", "folder/a.txt")
    assert (done.exit_code, done.stderr) == (0, "Uploaded a.txt to folder/a.txt.\n")
    assert run(app, "list", "--simple").stdout == "folder/a.txt\n"
    line = run(app, "list", "folder").stdout.rstrip("\n").split("\t")
    assert line[1:] == ["3.0K", "folder/a.txt"]
    done = run(app, "copy", "folder/a.txt", "b.txt")
    assert done.stdout == "Copied folder/a.txt to b.txt.\n"
    done = run(app, "get", "folder/a.txt", "other")
    assert (done.stdout, done.stderr) == ("", "Downloaded folder/a.txt to other.\n")
    done = run(app, "get", "b.txt")
    assert done.stderr == "Downloaded b.txt to b.txt.\n"
    for name in ("other", "b.txt"):
        assert (tmp_path / "here" / name).read_bytes() == b"x" * 3 * 1024
    done = run(app, "delete", "b.txt")
    assert (done.exit_code, done.stderr) == (0, "Deleted b.txt.\n")
    assert run(app, "list", "--simple").stdout == "folder/a.txt\n"


def test_standard_streams(app: flask.Flask):
    done = run(app, "put", "-", "a", input=b"red\n")
    assert done.exit_code == 0
    assert done.stderr.endswith("to a.\n")
    done = run(app, "get", "a", "-")
    assert done.exit_code == 0, done.exception
    assert (done.stdout, done.stderr) == ("red\n", "Downloaded a to -.\n")


@pytest.mark.parametrize("words", [("get", "nothing"), ("copy", "nothing", "a")])
def test_not_found(app: flask.Flask, tmp_path: Path, words: tuple[str, ...]):
    done = run(app, *words)
    assert done.exit_code == 1
    assert done.stderr == ("Error: Could not open file 'nothing': Not found in LocalFSStorage.\n")
    assert list((tmp_path / "here").iterdir()) == []  # nothing begun is left behind


def test_other_failures_have_no_traceback(app: flask.Flask):
    done = run(app, "list", "nothing")
    assert done.exit_code == 1
    assert done.stderr == "Error: nothing does not exist or is not a directory\n"
    done = run(app, "--location", "cloud", "list")
    assert done.exit_code == 1
    assert "cloud" in done.stderr


def test_locations(app: flask.Flask):
    done = run(app, "--location", "loc", "list")
    assert done.exit_code == 1
    assert done.stdout.startswith("The location loc does not exist. Pass --location or change")
    assert done.stderr == "Aborted!\n"
    del app.config["KEG_STORAGE_DEFAULT_LOCATION"]
    done = run(app, "list")
    assert (done.exit_code, done.output) == (
        1,
        "No location given and no default was configured.\nAborted!\n",
    )


@pytest.mark.parametrize(
    ("flags", "letters"),
    [
        ([], "d"),
        (["--download"], "d"),
        (["--upload"], "du"),
        (["--no-download", "--upload"], "u"),
        (["--no-download", "--delete"], "r"),
        (["--upload", "--delete", "-e", "60"], "dur"),
    ],
)
def test_link(app: flask.Flask, flags: list[str], letters: str):
    done = run(app, "link", "a.txt", *flags)
    assert done.exit_code == 0, done.output
    [token] = parse_qs(urlsplit(done.stdout.strip()).query)["token"]
    backend = app.storage.get_interface("files")  # type: ignore[attr-defined]
    assert str(backend.deserialize_link_token(token).operations) == letters
    begun = io.BytesIO(b"red")
    if "u" in letters:
        assert keg.redeem(backend, "PUT", token, begun).status == 200


def test_a_link_that_can_not_be(app: flask.Flask):
    for words in (["-e", "-1"], ["--no-download"]):
        done = run(app, "link", "a.txt", *words)
        assert done.exit_code == 1
        assert done.stdout.strip() != ""
        assert "Aborted!" in done.output
    assert run(app, "--location", "bare", "link", "a").exit_code == 1


def test_the_group_has_the_name_it_is_given():
    site = flask.Flask(__name__)
    keg.Storage(site, "files")
    assert "files" in site.cli.commands
    assert "storage" not in site.cli.commands
