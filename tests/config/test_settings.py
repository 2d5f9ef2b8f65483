"""A profile's settings against its driver's model, and secrets that never show."""

from __future__ import annotations

import os
import pickle
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storage_core.config import ProfileConfig, driver_settings, load_config
from storage_core.config.check import check
from storage_core.config.show import describe
from storage_core.errors import ConfigError, StorageError
from storage_core.plugins import load_driver

SECRET = "correct-horse-battery"


def everything(error: BaseException | None) -> str:
    """All that a log or a debugger's first look could show of an error."""
    if error is None:
        return ""
    texts = [str(error), repr(error), "".join(traceback.format_exception(error))]
    texts += [repr(vars(error)), repr(error.args)]
    if isinstance(error, StorageError):
        texts.append(repr(pickle.loads(pickle.dumps(error)).__dict__))
    return "\n".join([*texts, everything(error.__cause__), everything(error.__context__)])


def configure(profile: ProfileConfig):
    return driver_settings(profile, load_driver(profile.driver))


def acme(text: str, write):
    return configure(load_config(write(f'[profiles.dev]\ndriver = "acme"\n{text}')).profile())


def refused(text: str, write) -> str:
    with pytest.raises(ConfigError) as caught:
        acme(text, write)
    assert SECRET not in everything(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _site(site):
    return site


def test_settings_become_the_model(write, monkeypatch):
    monkeypatch.setenv("KEY", SECRET)
    made = acme(
        'secret_key = "${env:KEY}"\nverify = false\nzones = ["a", "b"]\npool.size = 3\n', write
    )
    assert made.secret_key.get_secret_value() == SECRET
    assert (made.verify, made.zones, made.pool.size, made.region) == (False, ["a", "b"], 3, "eu")
    assert SECRET not in repr(made)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("regoin = 'x'", ":3: profiles.dev.regoin: unknown setting of the driver 'acme'; did you"),
        ("prefx = 'x'", "did you mean 'prefix'?"),
        ("zzz = 1", "; known: "),
        ("pool.sise = 1", ":3: profiles.dev.pool.sise: unknown setting; did you mean 'size'?"),
        ("pool.size = 0", ":3: profiles.dev.pool.size: input should be greater than or equal"),
        ("verify = 'maybe'", ":3: profiles.dev.verify: input should be a valid boolean"),
        ("mode = 'quick'", ":3: profiles.dev.mode: input should be 'fast' or 'safe'"),
        ("region = 3", ":3: profiles.dev.region: input should be a valid string"),
        ("region = '!nowhere'", ":3: profiles.dev.region: no such region: **********"),
        ("mode = 'safe'\nverify = 'fast'\npool.size = 0", ":5: profiles.dev.pool.size: input"),
        ("zones = [1]", ":3: profiles.dev.zones"),
        ("pool = 3", ":3: profiles.dev.pool"),
        (f"secret_key = ['{SECRET}']", ":3: profiles.dev.secret_key: not a valid secret"),
        (f"secret_kye = '{SECRET}'", ":3: profiles.dev.secret_kye: unknown setting"),
        (f"verify = '{SECRET}'", ":3: profiles.dev.verify"),
        (f"pool.password = {{ a = '{SECRET}' }}", ":3: profiles.dev.pool.password: not a valid"),
        (f"region = '!a{SECRET}'\nsecret_key = '{SECRET}'", "no such region: **********"),
        (f"region = '!a{SECRET}'\npool.password = '{SECRET}'", "no such region: **********"),
    ],
)
def test_errors_name_line_key_and_remedy(text, says, write):
    assert says in refused(text, write)


def test_all_problems_are_told_at_once(write):
    message = refused("verify = 'maybe'\nmode = 'quick'", write)
    assert ":3: " in message
    assert ":4: " in message


def test_a_required_setting_is_named(site, write, monkeypatch):
    module = (site / "acme_storage.py").read_text()
    (site / "acme_storage.py").write_text(
        module.replace('region: str = Field("eu", ', "region: str = Field(")
    )
    assert "profiles.dev: 'region' is missing; add it" in refused("", write)


def test_paths_count_from_the_configuration(write, tmp_path, home, monkeypatch):
    assert str(acme("spool = 'tmp/x'", write).spool) == str(tmp_path / "conf/tmp/x")
    assert str(acme("spool = '~/x'", write).spool) == str(home / "x")
    assert str(acme("spool = '/x'", write).spool) == "/x"
    monkeypatch.setenv("STORAGE_PROFILES__DEV__SPOOL", "here")
    assert str(acme("", write).spool) == f"{os.getcwd()}/here"


@pytest.mark.parametrize(
    "profile",
    [
        ProfileConfig.from_url("file:here"),
        ProfileConfig.from_mapping({"driver": "local", "root": "here"}),
        ProfileConfig.from_mapping({"driver": "local", "root": Path("here")}),
    ],
)
def test_a_relative_path_is_fixed_when_the_profile_is_opened(profile, tmp_path, monkeypatch):
    made = pickle.dumps(driver_settings(profile, load_driver("local")))
    started = Path.cwd()
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(made).root == started / "here"


def test_lists_and_tables_from_the_environment_are_json(write, monkeypatch):
    monkeypatch.setenv("STORAGE_PROFILES__DEV__ZONES", '["a", "b"]')
    monkeypatch.setenv("STORAGE_PROFILES__DEV__POOL", '{"size": 4}')
    made = acme("", write)
    assert (made.zones, made.pool.size) == (["a", "b"], 4)
    monkeypatch.setenv("STORAGE_PROFILES__DEV__ZONES", SECRET)
    assert "$STORAGE_PROFILES__DEV__ZONES: not the JSON" in refused("", write)


def test_scalars_from_the_environment_are_read_by_the_model(write, monkeypatch):
    monkeypatch.setenv("STORAGE_PROFILES__DEV__VERIFY", "no")
    monkeypatch.setenv("STORAGE_PROFILES__DEV__POOL__SIZE", "7")
    monkeypatch.setenv("STORAGE_PROFILES__DEV__SECRET_KEY", "0123")
    made = acme("", write)
    assert (made.verify, made.pool.size) == (False, 7)
    assert made.secret_key.get_secret_value() == "0123"


def test_code_may_give_secrets_ready_made():
    from pydantic import SecretStr

    profile = ProfileConfig.from_mapping({"driver": "acme", "secret_key": SecretStr(SECRET)})
    assert configure(profile).secret_key.get_secret_value() == SECRET


# --- references -----------------------------------------------------------------------


def test_references(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOST", "s3.example.org")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/secret").write_text(f"{SECRET}\r\n")
    made = acme(
        'endpoint_url = "https://${env:HOST}:9000/$${env:HOST}"\n'
        'secret_key = "${file:secret}"\nzones = ["${env:HOST}"]\n',
        write,
    )
    assert made.endpoint_url == "https://s3.example.org:9000/${env:HOST}"
    assert made.secret_key.get_secret_value() == SECRET
    assert made.zones == ["s3.example.org"]


def test_a_reference_is_not_read_twice(write, monkeypatch):
    monkeypatch.setenv("ONE", "${env:TWO}")
    monkeypatch.setenv("TWO", "x")
    assert acme('region = "${env:ONE}"', write).region == "${env:TWO}"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("${env:NOT_SET}", "the environment variable NOT_SET is not set"),
        ("${file:gone}", "conf/gone can not be read: No such file"),
        ("${file:/}", "/ "),
        ("${file:bytes}", "conf/bytes is not UTF-8 text"),
        ("${file:/dev/zero}", "not a regular file"),
        ("${file:large}", "larger than 65536 bytes"),
        ("${vault:x}", "without a known reference"),
        (f"${{{SECRET}", "write '$${' for a plain '${'"),
        ("${}", "without a known reference"),
        ("${env:}", "without a known reference"),
        ("${env:A${env:B}}", "without a known reference"),
    ],
)
def test_a_reference_that_yields_nothing_names_it(value, says, write, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/bytes").write_bytes(SECRET.encode() + b"\xff")
    (tmp_path / "conf/large").write_text("x" * 65537)
    message = refused(f"secret_key = '{value}'", write)
    assert says in message
    assert "storage.toml:3: profiles.dev.secret_key: " in message


def test_values_of_references_are_masked_in_messages(write, monkeypatch):
    monkeypatch.setenv("REGION", f"!{SECRET}")
    assert "no such region: **********" in refused('region = "${env:REGION}"', write)


# --- show and check -------------------------------------------------------------------


def test_show_masks_secrets_and_names_sources(write, monkeypatch):
    monkeypatch.setenv("STORAGE_PROFILES__DEV__REGION", "us")
    path = write(
        '[profiles.dev]\ndriver = "acme"\n'
        f'access_key = "me"\nsecret_key = "{SECRET}"\n'
        f'endpoint_url = "https://u:{SECRET}@example.org/x?sig={SECRET}"\n'
        f'typo = "{SECRET}"\nzones = ["a", "b"]\nverify = false\n'
        f'pool.password = "{SECRET}"\npool.size = 3\nlinks.keys.k = "{SECRET}"\n'
        'prefix = "x/"\n[profiles.other]\ndriver = "acme"\nsecret_key = "${env:KEY}"\n'
    )
    config = load_config(path)
    rows = {(r.profile, r.key): (r.value, r.source) for r in describe(config)}
    mask = "**********"
    assert rows["dev", "access_key"] == ("me", f"{path}:3")
    assert rows["dev", "secret_key"] == (mask, f"{path}:4")
    assert rows["dev", "endpoint_url"] == (f"https://{mask}@example.org/x?{mask}", f"{path}:5")
    assert rows["dev", "typo"][0] == mask
    assert rows["dev", "zones"][0] == "[a, b]"
    assert rows["dev", "verify"][0] == "false"
    assert rows["dev", "pool.password"][0] == mask
    assert rows["dev", "pool.size"][0] == "3"
    assert rows["dev", "links.keys.k"][0] == mask
    assert rows["dev", "prefix"][0] == "x/"
    assert rows["dev", "region"] == ("us", "$STORAGE_PROFILES__DEV__REGION")
    assert rows["other", "secret_key"][0] == "${env:KEY}"
    assert rows["local", "driver"] == ("local", "built-in")
    assert SECRET not in repr(rows)


def test_show_adds_defaults_when_asked(write):
    config = load_config(write('[profiles.dev]\ndriver = "acme"\nretry.cap = 3\n'))
    rows = {r.key: r for r in describe(config, "dev", defaults=True)}
    assert (rows["region"].value, rows["region"].is_default) == ("eu", True)
    assert (rows["retry.cap"].value, rows["retry.cap"].is_default) == ("3", False)
    assert rows["retry.attempts"].value == "5"
    assert rows["prefix"].value == '""'
    assert not {r.key for r in describe(config, "dev")} & {"region", "prefix"}


def test_show_masks_everything_of_an_unknown_driver(write):
    config = load_config(write('[profiles.dev]\ndriver = "nowhere"\nregion = "x"\nprefix = "y"\n'))
    rows = {r.key: r.value for r in describe(config, "dev", defaults=True)}
    assert (rows["driver"], rows["region"], rows["prefix"]) == ("nowhere", "**********", "y")


def test_check_tells_everything(write, monkeypatch, uninstalled):
    uninstalled("s3")
    monkeypatch.setenv("STORAGE_PROFILE", "x")
    path = write(
        'default_profile = "gone"\n[profiles.good]\ndriver = "acme"\n'
        '[profiles.bad]\ndriver = "acme"\nregoin = "x"\n'
        '[profiles.none]\ndriver = "s3"\n'
        f'[profiles.plain]\ndriver = "acme"\nsecret_key = "{SECRET}"\n'
        '[profiles.unset]\ndriver = "acme"\nsecret_key = "${env:NOT_SET}"\n'
    )
    findings = {(f.level, f.profile): f.message for f in check(load_config(path))}
    assert "'gone' does not exist" in findings["error", None]
    assert "$STORAGE_PROFILE: not a variable" in findings["warning", None]
    assert "did you mean 'region'" in findings["error", "bad"]
    assert "pip install 'storage-core[s3]'" in findings["error", "none"]
    assert f"{path}:11: profiles.plain.secret_key holds a secret" in findings["warning", "plain"]
    assert "NOT_SET is not set" in findings["error", "unset"]
    assert not [key for key in findings if key[1] == "good"]
    assert SECRET not in repr(findings)


def test_check_tells_of_secrets_others_can_read(home):
    folder = home / ".config/storage-core"
    folder.mkdir(parents=True)
    path = folder / "storage.toml"
    path.write_text(f'[profiles.dev]\ndriver = "acme"\nsecret_key = "{SECRET}"\n')
    path.chmod(0o644)
    assert any("chmod 600" in f.message for f in check(load_config()))
    path.chmod(0o600)
    assert not any("chmod 600" in f.message for f in check(load_config()))


# --- whatever is written, only ConfigError, and no secret -------------------------------

NAMES = st.sampled_from(
    ["region", "secret_key", "verify", "zones", "pool", "mode", "spool", "links", "retry",
     "prefix", "bucket_prefix", "capabilities", "endpoint_url", "unknown", "keys", "k", "size",
     "password", "base_url", "attempts", "driver", "a b", ""]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.just(SECRET),
        st.sampled_from([f"!{SECRET}", f"${{{SECRET}}}", f"https://u:{SECRET}@h/", f"/{SECRET}\0"]),
        st.sampled_from(["${env:THE_SECRET}", "!${env:THE_SECRET}", "x${env:THE_SECRET}/../"]),
        st.integers(),
        st.booleans(),
        st.none(),
        st.floats(),
        st.text(max_size=8),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(NAMES, VALUES, max_size=6))
@example({"prefix": "x${env:THE_SECRET}/../"})
@example({"links": {"keys": {"k": SECRET, "a b": SECRET}}})
def test_no_value_gets_past(values):
    os.environ["THE_SECRET"] = SECRET
    seen = ""
    try:
        profile = ProfileConfig.from_mapping({**values, "driver": "acme"}, references=True)
        seen = repr(profile) + repr(profile.links)
        configure(profile)
    except ConfigError as error:
        seen += everything(error)
    finally:
        del os.environ["THE_SECRET"]
    assert SECRET not in seen
