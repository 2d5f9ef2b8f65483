"""What a configuration that merely lies in the current folder may do."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from storage_core.config import load_config, trust
from storage_core.config.document import Document, read_document
from storage_core.errors import ConfigError

S3 = '[profiles.dev]\ndriver = "s3"\nendpoint_url = "https://evil.example"\n'


def here(text: str, name: str = "storage.toml") -> Path:
    path = Path(name).absolute()
    path.write_text(text)
    return path


def dev(body: str) -> str:
    return f'[profiles.dev]\ndriver = "local"\n{body}\n'


def trust_it() -> Path:
    return trust.trust(found())


def found() -> Document:
    document = load_config().document
    assert document is not None
    return document


@pytest.mark.parametrize(
    "body",
    [
        'root = "data"',
        'root = "."',
        'root = "./a/../b"',
        'root = "data"\nfsync = false\netag = "md5"\nprefix = "/etc/"\nbucket_prefix = "a-"',
        'root = "data"\nretry.attempts = 1\ncapabilities.tags = false\nlinks.route = "gateway"',
    ],
)
def test_contained_profiles_need_no_trust(body):
    here(dev(body))
    assert load_config().profile("dev").driver == "local"


def test_memory_needs_no_trust():
    here('[profiles.dev]\ndriver = "memory"\n')
    assert load_config().profile("dev").driver == "memory"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('root = "/srv/data"', "reaches outside its folder"),
        ('root = "../data"', "reaches outside its folder"),
        ('root = "a/../../data"', "reaches outside its folder"),
        ('root = "~/data"', "reaches outside its folder"),
        ('root = "link"', "reaches outside its folder"),
        ('root = "link/below"', "reaches outside its folder"),
        ('root = "data"\nspool = "/tmp"', "reaches outside its folder"),
        ('root = "data"\nspools = ["a", "/tmp"]', "reaches outside its folder"),
        ('root = "${env:HOME}"', "reads a secret"),
        ('root = "a"\nprefix = "${env:HOME}"', "reads a secret"),
        ('root = "a"\nretry.attempts = "${file:/etc/hostname}"', "reads a secret"),
        ('root = "a"\nextra = ["x", "${env:HOME}"]', "reads a secret"),
        ('root = "a"\nlinks.base_url = "https://evil.example"', "decides where links lead"),
        ('root = "a"\nlinks.keys.k = "0123456789abcdef"', "decides where links lead"),
    ],
)
def test_reaching_further_needs_trust(body, reason, tmp_path):
    Path("link").symlink_to(tmp_path)
    path = here(dev(body))
    config = load_config()
    with pytest.raises(ConfigError) as caught:
        config.profile("dev")
    assert reason in str(caught.value)
    assert f"storage config trust {path}" in str(caught.value)
    assert f"{path}:" in str(caught.value)
    trust_it()
    if "hostname" not in body:  # which is no number of attempts
        assert config.profile("dev").driver == "local"


@pytest.mark.parametrize("driver", ["s3", "gcs", "azure", "anything"])
def test_any_other_driver_needs_trust(driver):
    here(f'[profiles.dev]\ndriver = "{driver}"\n')
    with pytest.raises(ConfigError, match="uses your credentials"):
        load_config().profile("dev")


@pytest.mark.parametrize(
    ("driver", "says"),
    [("loacl", "did you mean 'local'"), ("s3", "pip install")],
)
def test_a_driver_that_is_not_there_is_told_before_trust(driver, says, uninstalled):
    uninstalled("s3")
    path = here(f'[profiles.dev]\ndriver = "{driver}"\n')
    with pytest.raises(ConfigError) as caught:
        load_config().profile("dev")
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{path}:2: ")
    assert says in first
    assert "storage config trust" in second


def test_a_missing_driver_is_not_a_matter_of_trust():
    here('[profiles.dev]\nroot = "data"\n')
    with pytest.raises(ConfigError, match=r"^\S+:1: profiles\.dev: names no driver"):
        load_config().profile("dev")


def test_a_driver_named_by_a_reference_needs_trust(monkeypatch):
    monkeypatch.setenv("D", "s3")
    here('[profiles.dev]\ndriver = "${env:D}"\n')
    with pytest.raises(ConfigError, match="reads a secret"):
        load_config().profile("dev")


def test_values_beside_a_driver_from_the_environment_need_trust(monkeypatch):
    here('[profiles.dev]\nendpoint_url = "https://evil.example"\n')
    monkeypatch.setenv("STORAGE_PROFILES__DEV__DRIVER", "s3")
    with pytest.raises(ConfigError, match="steers a driver"):
        load_config().profile("dev")


def test_values_from_the_environment_are_the_users_own(monkeypatch):
    here(dev('root = "data"'))
    monkeypatch.setenv("STORAGE_PROFILES__DEV__ROOT", "/srv/data")
    assert load_config().profile("dev").settings == {"root": "/srv/data"}


def test_other_profiles_of_the_same_configuration_still_work():
    here(S3 + '[profiles.scratch]\ndriver = "memory"\n')
    assert load_config().profile("scratch").driver == "memory"


@pytest.mark.parametrize("how", ["argument", "variable", "user"])
def test_a_chosen_configuration_is_trusted(how, home, monkeypatch):
    path = here(S3, "chosen.toml")
    if how == "variable":
        monkeypatch.setenv("STORAGE_CONFIG", str(path))
    if how == "user":
        folder = home / ".config/storage-core"
        folder.mkdir(parents=True)
        path.rename(folder / "storage.toml")
    config = load_config(path if how == "argument" else None)
    assert config.profile("dev").driver == "s3"


def test_trust_holds_for_the_settings_not_the_comments():
    path = here(S3)
    trust_it()
    assert load_config().profile("dev").driver == "s3"
    path.write_text(f"# a comment\n{S3}")
    assert load_config().profile("dev").driver == "s3"
    path.write_text(S3.replace("evil", "worse"))
    with pytest.raises(ConfigError, match="storage config trust"):
        load_config().profile("dev")


def test_trust_in_a_pyproject_holds_when_other_tables_change():
    text = S3.replace("[profiles.", "[tool.storage.profiles.")
    path = here(text, "pyproject.toml")
    trust_it()
    path.write_text(f'{text}\n[project]\nname = "x"\n')
    assert load_config().profile("dev").driver == "s3"


def test_trust_holds_for_one_path(tmp_path, monkeypatch):
    here(S3)
    trust_it()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    here(S3)
    with pytest.raises(ConfigError, match="storage config trust"):
        load_config().profile("dev")


def test_trust_can_be_withdrawn():
    path = here(S3)
    record = trust_it()
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(record.parent.stat().st_mode) == 0o700
    assert trust.distrust(path)
    assert not trust.distrust(path)
    with pytest.raises(ConfigError, match="storage config trust"):
        load_config().profile("dev")


def test_a_damaged_record_is_no_trust():
    here(S3)
    record = trust_it()
    record.write_bytes(b"\xff\xfe")
    assert not trust.is_trusted(found())


def test_trust_that_can_not_be_kept_says_so(home):
    here(S3)
    (home / ".local").write_text("not a folder")
    with pytest.raises(ConfigError, match=r"can not be recorded in .*: Not a directory"):
        trust_it()


def test_nothing_is_read_or_written_before_trust(home, tmp_path):
    """Not even whether the secret exists."""
    here(f'[profiles.dev]\ndriver = "s3"\nsecret = "${{file:{tmp_path}/gone}}"\n')
    with pytest.raises(ConfigError, match="storage config trust"):
        load_config().profile("dev")
    assert list(home.iterdir()) == []


def test_a_document_read_by_name_can_be_trusted_for_its_folder():
    path = here(S3)
    document = read_document(path, "folder")
    assert document is not None
    trust.trust(document)
    assert load_config().profile("dev").driver == "s3"
