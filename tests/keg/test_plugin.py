"""`Storage`: profiles by name, in Flask, in a context and in a process."""

from __future__ import annotations

import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from io import BytesIO
from pathlib import Path

import flask
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import storage_core
from storage_core.compat import keg
from storage_core.compat.keg import StorageBackend, StorageOperations, plugin


@pytest.fixture(autouse=True)
def nothing_active() -> Iterator[None]:
    before, plugin._of_process = plugin._of_process, None
    yield
    plugin._of_process = before


def app(**config) -> flask.Flask:
    made = flask.Flask(__name__)
    made.config.update(config)
    return made


PAIRS = [(StorageBackend, {"name": "one"}), (StorageBackend, {"name": "two"})]


def test_profiles_of_a_flask_application():
    site = app(KEG_STORAGE_PROFILES=PAIRS)
    storage = keg.Storage()
    storage.init_app(site)
    assert site.storage is storage  # type: ignore[attr-defined]
    assert storage.interface == "one"
    assert storage.get_interface().name == "one"
    assert storage.get_interface("two").name == "two"
    with pytest.raises(ValueError, match="invalid interface 'x'"):
        storage.get_interface("x")
    with site.app_context():
        assert StorageOperations.storage_get_profile("two") is storage.get_interface("two")


@pytest.mark.parametrize("config", [{}, {"KEG_STORAGE_PROFILES": []}])
def test_no_profiles(config):
    storage = keg.Storage(app(**config))
    with pytest.raises(ValueError, match="no interface was specified"):
        storage.get_interface()


def test_the_old_name_of_the_setting():
    with pytest.warns(DeprecationWarning, match="STORAGE_PROFILES is deprecated"):
        storage = keg.Storage(app(STORAGE_PROFILES=PAIRS[:1]))
    assert storage.interface == "one"
    with pytest.warns(DeprecationWarning, match="Found both"):
        storage = keg.Storage(app(STORAGE_PROFILES=PAIRS[:1], KEG_STORAGE_PROFILES=PAIRS[1:]))
    assert storage.interface == "two"
    with pytest.raises(ValueError, match="invalid interface"):
        storage.get_interface("one")


def test_two_applications_of_one_plugin():
    storage = keg.Storage(app(KEG_STORAGE_PROFILES=PAIRS))
    storage.init_app(app(KEG_STORAGE_PROFILES=PAIRS[1:]))
    assert storage.interface == "two"


def test_two_profiles_of_one_name():
    with pytest.raises(ValueError, match="two profiles named 'one'"):
        keg.Storage(profiles=[StorageBackend("one"), StorageBackend("one")])


def test_the_innermost_registry_counts():
    of_process, of_app, of_block = (
        keg.Storage(profiles=[StorageBackend(name)]) for name in ("process", "app", "block")
    )
    site = app()
    with pytest.raises(storage_core.ConfigError, match="activate"):
        StorageOperations.storage_get_profile()
    with site.app_context(), pytest.raises(storage_core.ConfigError, match="activate"):
        StorageOperations.storage_get_profile()
    assert of_process.activate() is of_process
    assert StorageOperations.storage_get_profile().name == "process"
    of_app.init_app(site)
    with site.app_context():
        assert StorageOperations.storage_get_profile().name == "app"
        with of_block.context():
            assert StorageOperations.storage_get_profile().name == "block"
        assert StorageOperations.storage_get_profile().name == "app"
    seen: list[str] = []
    with of_block.context():  # of this thread alone
        thread = threading.Thread(
            target=lambda: seen.append(StorageOperations.storage_get_profile().name)
        )
        thread.start()
        thread.join()
    assert seen == ["process"]


def test_close_reaches_every_backend():
    class Counted(StorageBackend):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    one, two = Counted("one"), Counted("two")
    keg.Storage(profiles=[one, two]).close()
    assert (one.closed, two.closed) == (1, 1)


def test_the_interface_alone_does_nothing():
    backend = StorageBackend("bare")
    for call in (
        lambda: backend.list(""),
        lambda: backend.open("a", "r"),
        lambda: backend.delete("a"),
        lambda: backend.copy("a", "b"),
        lambda: backend.link_to("a", "d", backend.now()),
    ):
        with pytest.raises(NotImplementedError):
            call()
    assert str(backend) == "StorageBackend"


def test_profiles_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A profile of storage.toml is all that is needed."""
    config = tmp_path / "storage.toml"
    config.write_text(
        f'default_profile = "dev"\n[profiles.dev]\ndriver = "local"\nroot = "{tmp_path}/data"\n'
    )
    monkeypatch.setenv("STORAGE_CONFIG", str(config))
    with storage_core.open() as storage:
        storage.create_bucket("uploads")
    for backend in (keg.StorageProfile("uploads"), keg.StorageProfile("uploads", "dev")):
        registry = keg.Storage(profiles=[backend])
        with registry.context():
            name = StorageOperations.storage_upload_file(BytesIO(b"red"), "a.txt")
            assert StorageOperations.storage_download_file(name).read() == b"red"
        registry.close()
    with pytest.raises(storage_core.ProfileNotFoundError):
        keg.StorageProfile("uploads", "prod").list("")


_BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
import datetime, tempfile
from storage_core.compat import keg
from storage_core.errors import ConfigError
now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
fs = keg.LocalFSStorage(tempfile.mkdtemp(), "links", b"0" * 32)
fs.open("a", "w").close()
try:
    print(CALL)
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("missing", "call", "extra"),
    [
        ("jwt", "fs.link_to('a', 'd', now)", "keg"),
        ("flask", "fs.link_to('a', 'd', now)", "flask"),
        ("flask", "keg.Storage().init_app(type('App', (), {'config': {}})())", "flask"),
        ("flask", "keg.StorageOperations.storage_upload_form_file('a')", "flask"),
        ("werkzeug", "keg.StorageOperations.storage_upload_file(None, 'a')", "keg"),
        ("paramiko", "keg.SFTPStorage('h', 'u', None, None).list('')", "sftp"),
        ("azure", "keg.AzureStorage('a', 'a2V5', 'bbb').link_to('a', 'du', now)", "azure"),
        (
            "botocore",
            "keg.S3Storage('bbb', 'x').link_to('a', 'd', now, content_encoding='gzip')",
            "s3",
        ),
    ],
)
def test_a_missing_extra_is_told(missing: str, call: str, extra: str):
    program = f"BLOCKED = {{{missing!r}}}\n{_BLOCKED.replace('CALL', call)}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert f"pip install 'storage-core[{extra}]'" in done.stdout
    assert missing in done.stdout
    homes = packages_distributions()[missing]
    assert _packages(extra) & {canonicalize_name(name) for name in homes}


def _packages(extra: str) -> set[str]:
    """The distributions that an extra of this project brings, with those they need."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    found: set[str] = set()
    left = [Requirement(one) for one in extras[extra]]
    while left:
        one = left.pop()
        name = canonicalize_name(one.name)
        if name == project["name"]:
            left += [Requirement(other) for each in one.extras for other in extras[each]]
        elif name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found.add(name)
            left += [Requirement(other) for other in requires(name) or ()]
    return found


def test_importing_it_imports_no_framework():
    program = (
        "import sys; import storage_core.compat.keg;"
        "print({'flask', 'werkzeug', 'jwt', 'paramiko', 'boto3', 'azure', 'click'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"
