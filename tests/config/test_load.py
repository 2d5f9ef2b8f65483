"""Discovery, precedence, profiles and what is said when something is wrong."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from storage_core import LinkSettings, RetryPolicy
from storage_core.config import ProfileConfig, load_config
from storage_core.errors import ConfigError, ProfileNotFoundError

MEMORY = '[profiles.{name}]\ndriver = "memory"\n'


def refused(text: str, write) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(write(text)).profile("dev")
    return str(caught.value)


# --- places ---------------------------------------------------------------------------


def test_each_place_wins_over_the_next(tmp_path, home, monkeypatch):
    def place(path: Path, name: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = MEMORY.format(name=name)
        if path.name == "pyproject.toml":
            text = text.replace("profiles.", "tool.storage.profiles.")
        path.write_text(text)
        return path

    def winner(path: Path | None = None) -> str:
        return load_config(path).names[0]

    assert winner() == "local"
    place(home / ".config/storage-core/storage.toml", "user")
    assert winner() == "user"
    place(Path("pyproject.toml"), "pyproject")
    assert winner() == "pyproject"
    place(Path("storage.toml"), "folder")
    assert winner() == "folder"
    monkeypatch.setenv("STORAGE_CONFIG", str(place(tmp_path / "env.toml", "variable")))
    assert winner() == "variable"
    assert winner(place(tmp_path / "named.toml", "named")) == "named"


def test_places_are_exclusive_not_merged(home):
    folder = home / ".config/storage-core"
    folder.mkdir(parents=True)
    (folder / "storage.toml").write_text(MEMORY.format(name="user"))
    Path("storage.toml").write_text(MEMORY.format(name="here"))
    assert "user" not in load_config().names


def test_a_pyproject_of_somebody_else_is_left_alone():
    Path("pyproject.toml").write_text('[project]\nname = "storage-core-user"\n')
    assert load_config().document is None
    Path("pyproject.toml").write_text("this is = = not TOML")
    assert load_config().document is None


def test_xdg_config_home_is_honoured(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (tmp_path / "xdg/storage-core").mkdir(parents=True)
    (tmp_path / "xdg/storage-core/storage.toml").write_text(MEMORY.format(name="xdg"))
    assert load_config().names[0] == "xdg"


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_named_configuration_must_exist(how, monkeypatch):
    if how == "variable":
        monkeypatch.setenv("STORAGE_CONFIG", "gone.toml")
    with pytest.raises(ConfigError, match=r"gone\.toml, which does not exist"):
        load_config("gone.toml" if how == "argument" else None)


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("STORAGE_CONFIG", "")
    assert load_config().document is None


def test_two_side_by_side_are_refused():
    Path("storage.toml").touch()
    Path("storage.yaml").touch()
    with pytest.raises(ConfigError, match="side by side"):
        load_config()


def test_without_a_home_explicit_things_still_work(write, monkeypatch):
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    path = write(MEMORY.format(name="dev"))
    assert load_config(path).profile("dev").driver == "memory"
    assert "local" not in load_config().names


def test_a_deleted_current_folder_is_no_reason_to_fail(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert load_config().default_profile == "local"


# --- without any configuration --------------------------------------------------------


def test_local_works_with_nothing_configured(home):
    profile = load_config().profile()
    assert (profile.name, profile.driver) == ("local", "local")
    assert profile.settings == {"root": str(home / ".local/share/storage-core")}
    assert str(profile.source("root")) == "built-in"


def test_a_profile_called_local_replaces_the_built_in_one(write):
    path = write('[profiles.local]\ndriver = "local"\nroot = "here"\n')
    assert load_config(path).profile("local").settings == {"root": "here"}


# --- default profile ------------------------------------------------------------------


def test_default_profile_from_variable_then_configuration(write, monkeypatch):
    text = 'default_profile = "a"\n' + MEMORY.format(name="a") + MEMORY.format(name="b")
    path = write(text)
    assert load_config(path).profile().name == "a"
    monkeypatch.setenv("STORAGE_DEFAULT_PROFILE", "b")
    assert load_config(path).profile().name == "b"


def test_the_only_profile_is_the_default(write):
    assert load_config(write(MEMORY.format(name="one"))).default_profile == "one"


def test_several_profiles_need_a_default(write):
    config = load_config(write(MEMORY.format(name="a") + MEMORY.format(name="b")))
    with pytest.raises(ProfileNotFoundError, match=r"name one of a, b, or set default_profile"):
        config.profile()


def test_a_missing_profile_names_the_near_one(write):
    path = write(MEMORY.format(name="archive"))
    with pytest.raises(ProfileNotFoundError, match=f"{path} has no profile 'archiv'; did you mean"):
        load_config(path).profile("archiv")


def test_a_default_that_does_not_exist_is_named_with_its_line(write):
    path = write('\ndefault_profile = "gone"\n' + MEMORY.format(name="a"))
    with pytest.raises(ProfileNotFoundError, match=f"{path}:2: the default profile 'gone'"):
        load_config(path).profile()


# --- overrides from the environment ---------------------------------------------------


def test_the_environment_overrides_single_values(write, monkeypatch):
    path = write(
        '[profiles.my-dev]\ndriver = "local"\nroot = "a"\n[profiles.my-dev.retry]\ncap = 9'
    )
    monkeypatch.setenv("STORAGE_PROFILES__MY_DEV__ROOT", "/b")
    monkeypatch.setenv("STORAGE_PROFILES__MY_DEV__RETRY__ATTEMPTS", "2")
    profile = load_config(path).profile("my-dev")
    assert profile.settings == {"root": "/b"}
    assert profile.retry == RetryPolicy(attempts=2, cap=9.0)
    assert str(profile.source("root")) == "$STORAGE_PROFILES__MY_DEV__ROOT"
    assert str(profile.source("retry", "cap")) == f"{path}:5"


def test_the_environment_alone_makes_a_profile(monkeypatch):
    monkeypatch.setenv("STORAGE_PROFILES__CI__DRIVER", "memory")
    config = load_config()
    assert config.default_profile == "ci"
    assert config.profile("ci").driver == "memory"


def test_the_environment_moves_the_built_in_profile(monkeypatch):
    monkeypatch.setenv("STORAGE_PROFILES__LOCAL__ROOT", "/srv/x")
    profile = load_config().profile()
    assert (profile.driver, profile.settings) == ("local", {"root": "/srv/x"})


def test_values_from_the_environment_stay_text(monkeypatch):
    monkeypatch.setenv("STORAGE_PROFILES__X__DRIVER", "memory")
    monkeypatch.setenv("STORAGE_PROFILES__X__SECRET", "0123")
    monkeypatch.setenv("STORAGE_PROFILES__X__LINKS__KEYS__A1", "12345678901234567890")
    monkeypatch.setenv("STORAGE_PROFILES__X__DEEP__JSON__TEXT", '{"a": 1}')
    profile = load_config().profile("x")
    assert profile.settings == {"secret": "0123", "deep": {"json": {"text": '{"a": 1}'}}}
    assert profile.links.keys == {"a1": b"12345678901234567890"}


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["STORAGE_PROFILES"], "names no setting"),
        (["STORAGE_PROFILES__X"], "names no setting"),
        (["STORAGE_PROFILES__"], "names no setting"),
        (["STORAGE_PROFILES____DRIVER"], "names no setting"),
        (["STORAGE_PROFILES__X__RETRY__"], "names no setting"),
        (["STORAGE_PROFILES__X__RETRY", "STORAGE_PROFILES__X__RETRY__CAP"], "unset one"),
        (["STORAGE_PROFILES__X__RETRY__CAP", "STORAGE_PROFILES__X__RETRY"], "unset one"),
    ],
)
def test_a_variable_that_names_no_setting_is_refused(names, says, monkeypatch):
    for name in names:
        monkeypatch.setenv(name, "hunter2")
    with pytest.raises(ConfigError, match=says) as caught:
        load_config()
    assert "hunter2" not in str(caught.value)


def test_a_variable_that_stands_for_two_profiles_is_refused(write, monkeypatch):
    path = write(MEMORY.format(name="a-b") + MEMORY.format(name="a_b"))
    assert len(load_config(path).names) == 4
    monkeypatch.setenv("STORAGE_PROFILES__A_B__PREFIX", "x/")
    with pytest.raises(ConfigError, match="a-b and a_b alike"):
        load_config(path)


def test_a_table_in_the_environment_replaces_a_plain_value_below(write, monkeypatch):
    path = write(MEMORY.format(name="dev") + 'pool = "none"\n')
    monkeypatch.setenv("STORAGE_PROFILES__DEV__POOL__SIZE", "3")
    assert load_config(path).profile("dev").settings == {"pool": {"size": "3"}}


# --- what a configuration may say -----------------------------------------------------


def test_every_option(write):
    path = write(
        """
        [profiles.dev]
        driver = "memory"
        prefix = "team/"
        bucket_prefix = "acme-"
        capabilities = { versions = false, conditions = { put = ["if_absent"] } }
        links.base_url = "https://files.example.org/s/"
        links.route = "gateway"
        own = { a = [1, 2] }
        [profiles.dev.links.keys]
        2026a = "0123456789abcdef"
        2026b = "fedcba9876543210"
        [profiles.dev.retry]
        attempts = 3
        base = 1
        cap = 2.5
        budget = 10
        deadline = 60
        """
    )
    profile = load_config(path).profile("dev")
    assert profile.prefix == "team/"
    assert profile.bucket_prefix == "acme-"
    assert profile.links == LinkSettings(
        base_url="https://files.example.org/s",
        keys={"2026a": b"0123456789abcdef", "2026b": b"fedcba9876543210"},
        route="gateway",
    )
    assert list(profile.links.keys) == ["2026a", "2026b"]
    assert profile.retry == RetryPolicy(attempts=3, base=1, cap=2.5, budget=10, deadline=60)
    assert profile.capabilities == {
        "versions": False,
        "conditions": {"put": frozenset({"if_absent"})},
    }
    assert profile.settings == {"own": {"a": [1, 2]}}


def test_yaml_says_the_same(write):
    toml = '[profiles.dev]\ndriver = "memory"\nprefix = "x/"\n[profiles.dev.own]\nlist = [1, 2]\n'
    yaml = "profiles:\n  dev:\n    driver: memory\n    prefix: x/\n    own:\n      list: [1, 2]\n"
    one = load_config(write(toml)).profile("dev")
    other = load_config(write(yaml, "conf/other.yaml")).profile("dev")
    assert (one.driver, one.prefix, one.settings) == (other.driver, other.prefix, other.settings)
    assert other.source("prefix").line == 4


def test_a_profile_can_be_pickled(write):
    profile = load_config(write(MEMORY.format(name="dev") + 'prefix = "a/"\n')).profile("dev")
    assert pickle.loads(pickle.dumps(profile)) == profile


def test_unrelated_profiles_do_not_get_in_the_way(write):
    text = MEMORY.format(name="good") + MEMORY.format(name="bad") + 'key = "${env:NOT_SET}"\n'
    assert load_config(write(text)).profile("good").driver == "memory"


# --- what is said when it is wrong ----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = = 1", ":1: not valid TOML"),
        ("x = 1\n" + "a = " + "[" * 5000, "not valid TOML: nested too deeply"),
        (f"a = {'9' * 5000}", "not valid TOML"),
        ("colour = 1", ":1: unknown key 'colour'"),
        ('\ndefault_profil = "a"', ":2: unknown key 'default_profil'; did you mean"),
        ("default_profile = 3", ":1: default_profile is not the name"),
        ("profiles = 3", ":1: profiles is not a table"),
        ("[profiles]\ndev = 3", ":2: profiles.dev is not a table"),
        ('[profiles."a b"]', ":1: 'a b' can not name a profile"),
        ("[profiles.a__b]", ":1: 'a__b' can not name a profile"),
        ("[profiles.dev]\nprefix = 'x'", "names no driver; add one"),
        ("[profiles.dev]\ndriver = 3", ":2: profiles.dev.driver: not the name of a driver"),
        ("[profiles.dev]\ndriver = 'memory'\nprefix = 3", ":3: profiles.dev.prefix: input should"),
        ("[profiles.dev]\ndriver = 'memory'\nprefix = '../'", ":3: profiles.dev.prefix: prefix"),
        ("[profiles.dev]\ndriver = 'memory'\nbucket_prefix = 'A'", "bucket_prefix can not begin"),
        (
            "[profiles.dev]\ndriver = 'memory'\nretry.attempts = 0",
            ":3: profiles.dev.retry.attempts",
        ),
        ("[profiles.dev]\ndriver = 'memory'\nretry.tries = 0", ":3: profiles.dev.retry.tries: unk"),
        ("[profiles.dev]\ndriver = 'memory'\nretry = 1", ":3: profiles.dev.retry"),
        ("[profiles.dev]\ndriver = 'memory'\nretry.cap = 0.01", "retry.cap is below retry.base"),
        ("[profiles.dev]\ndriver = 'memory'\nlinks.route = 'x'", "'native' or 'gateway'"),
        ("[profiles.dev]\ndriver = 'memory'\nlinks.base_url = 'ftp://a'", "not an http:// or"),
        ("[profiles.dev]\ndriver = 'memory'\nlinks.base_url = 'http://a:b@c'", "credentials"),
        ("[profiles.dev]\ndriver = 'memory'\nlinks.base_url = 'http://a:99999'", "Port out of"),
        ("[profiles.dev]\ndriver = 'memory'\nlinks.keys.k = 'short'", "make one with: openssl"),
        ("[profiles.dev]\ndriver = 'memory'\ncapabilities.version = true", "did you mean 'versio"),
        ("[profiles.dev]\ndriver = 'memory'\ncapabilities.tags = 'x'", ":3: profiles.dev.capabil"),
        ("[profiles.dev]\ndriver = 'memory'\nsince = 2020-01-01", ":3: since is a date"),
        ("[profiles.dev]\na.b.c.d.e.f.g.h.i.j.k.l.m = 1", "nested"),
    ],
)
def test_errors_name_line_key_and_remedy(text, says, write):
    message = refused(text, write)
    assert says.lower() in message.lower()
    assert "conf/storage.toml" in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "not a mapping"),
        ("profiles:\n  dev:\n    driver:", ":3: driver has no value"),
        ("profiles:\n  dev:\n    driver: a\n    driver: b", ":4: 'driver' is given twice"),
        ("profiles:\n  1: {driver: memory}", ":2: 1 can not name a profile"),
        ("profiles:\n  dev: {1: a}", ":2: the key 1 is not text"),
        ("profiles: !!python/object:os.system {}", "not valid YAML"),
        ("a: &a [*a]", "too many or too deeply nested"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"b{i}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
            ),
            "too many or too deeply nested",
        ),
    ],
)
def test_yaml_errors_name_the_line(text, says, write):
    with pytest.raises(ConfigError) as caught:
        load_config(write(text, "conf/storage.yaml")).profile("dev")
    assert says in str(caught.value)


def test_text_that_is_not_utf8_names_the_line(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\n\na = '\xff\xfe'")
    with pytest.raises(ConfigError, match=r"bad\.toml:3: not UTF-8"):
        load_config(path)


def test_things_that_are_no_configuration(tmp_path):
    folder = tmp_path / "dir.toml"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"not a regular file|Is a directory"):
        load_config(folder)
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_config(pipe)
    (tmp_path / "x.json").touch()
    with pytest.raises(ConfigError, match=r"is a \.toml, \.yaml or \.yml"):
        load_config(tmp_path / "x.json")
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="larger than"):
        load_config(big)
    with pytest.raises(ConfigError, match="does not exist"):
        load_config("nul\0.toml")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    with pytest.raises(ConfigError, match=r"has no table \[tool\.storage\]"):
        load_config(tmp_path / "pyproject.toml")


def test_lines_survive_quotes_tables_and_long_strings(write):
    path = write(
        'default_profile = "dev"\n'
        '[profiles."dev"]  # the one\n'
        "driver = 'memory'\n"
        'text = """\n'
        "not_a_key = 1\n"
        '"""\n'
        '"odd key" . inner = 2\n'
        "[ profiles . dev . own ]\n"
        "last = true\n"
    )
    profile = load_config(path).profile()
    lines = {key: source.line for key, source in profile.sources.items()}
    assert lines == {"": 2, "driver": 3, "text": 4, "odd key.inner": 7, "own.last": 9}


def test_from_mapping_takes_values_as_they_stand(monkeypatch):
    monkeypatch.setenv("NAME", "value")
    values = {"driver": "memory", "text": "${env:NAME}", "retry": {"attempts": 1}}
    plain = ProfileConfig.from_mapping(values)
    assert plain.settings == {"text": "${env:NAME}"}
    assert plain.retry.attempts == 1
    read = ProfileConfig.from_mapping(values, references=True)
    assert read.settings == {"text": "value"}
    with pytest.raises(ConfigError, match=r"profiles\.code: names no driver"):
        ProfileConfig.from_mapping({})
