"""Whatever is typed: a documented exit status, one message, nothing outside the folder."""

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage_core.cli import status
from tests.cli.conftest import cli

COMMANDS = [
    ["ls"], ["stat"], ["cat"], ["put"], ["get"], ["rm"], ["cp"], ["mv"], ["presign"], ["mb"], ["rb"],
    ["fsck"], ["profiles"], ["tags", "get"], ["tags", "set"], ["tags", "rm"], ["versions", "ls"],
    ["versions", "restore"], ["versions", "rm"], ["uploads", "ls"], ["uploads", "abort"],
    ["config", "show"], ["config", "trust"], ["config", "check"], ["completion"], ["import-tree"], ["bogus"], [],
]  # fmt: skip
OPTIONS = [
    "-r", "-l", "-n", "-H", "-q", "-X", "--json", "--force", "--dry-run", "--range", "--limit",
    "--version-id", "--if-match", "--metadata", "--tag", "--checksum", "--compute", "--expires-in",
    "--content-type", "--method", "--upload", "--part", "--older-than", "--all", "--replace",
    "--profile", "--config", "--deep", "--repair", "--", "--bogus", "-x",
]  # fmt: skip
WORDS = [
    "fruit", "fruit/", "fruit/a", "fruit/2012/", "archive:fruit/a", "dev:", "none", "none/x", "none:x",
    "-", "storage.toml", "0", "1", "-1", "9" * 30, "15m", "a=1", "=", "sha256=00", "GET", "PUT", "bash",
]  # fmt: skip

# Whatever a process can be given. No "/": it could name a place outside of the folder.
free_text = st.one_of(
    st.text(st.characters(exclude_characters="\0/~", exclude_categories=["Cs"]), max_size=12),
    st.binary(max_size=12).map(lambda data: os.fsdecode(data.translate(None, b"\0/~"))),
)
arguments = st.lists(
    st.one_of(st.sampled_from(OPTIONS), st.sampled_from(WORDS), free_text), max_size=5
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(COMMANDS), arguments, st.binary(max_size=20))
def test_any_command_line(fruit: str, command: list[str], words: list[str], stdin: bytes):
    done = cli(*command, *words, stdin=stdin)
    assert done.status in status.MEANINGS, (command, words)
    assert "Traceback" not in done.stderr
    if done.status:
        assert done.stderr or done.stdout, (command, words)
    assert not list(Path().glob(".storage-*"))


@given(free_text.filter(lambda name: name not in {"", ".", ".."}), st.binary(max_size=100))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_key_goes_and_comes_back_or_is_refused(fruit: str, key: str, data: bytes):
    done = cli("put", "-", f"fruit/k/{key}", stdin=data)
    if done.status:
        assert done.status == status.USAGE
        return
    assert cli("cat", f"fruit/k/{key}").ok().stdout == data
    assert cli("ls", "--json", f"fruit/k/{key}").ok().records[0]["key"] == f"k/{key}"
    cli("get", "-q", f"fruit/k/{key}", "out").ok()
    assert Path("out").read_bytes() == data
    cli("rm", "-q", f"fruit/k/{key}").ok()
    assert cli("cat", f"fruit/k/{key}").status == status.NOT_FOUND
