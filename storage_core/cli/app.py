"""The commands by name, and the options all of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from storage_core.cli.completion import profile_names
from storage_core.cli.output import PROGRAM, Output
from storage_core.cli.session import Session

_OBJECTS = Group("Objects", sort_key=1)
_BUCKETS = Group("Buckets", sort_key=2)
_PROFILES = Group("Profiles", sort_key=3)
_SERVICES = Group("Services", sort_key=4)
_SHARED = Group("Options of all commands", sort_key=100)

# Commands as module:function below this package; a module is imported when its command runs.
_COMMANDS: tuple[tuple[Group, tuple[str, ...]], ...] = (
    (_OBJECTS, ("listing:ls", "listing:stat")),
    (_OBJECTS, ("get:cat", "put:put", "get:get")),
    (_OBJECTS, ("copying:cp", "copying:mv", "objects:rm", "objects:presign")),
    (_OBJECTS, ("syncing:sync", "syncing:verify", "transfers:transfers")),
    (_BUCKETS, ("buckets:mb", "buckets:rb", "local:fsck", "local:import_tree")),
    (_PROFILES, ("profiles:profiles", "profiles:doctor")),
    (_SERVICES, ("serve:serve", "conformance:conformance", "completion:completion")),
)
# The path of a family within a family comes after that of the outer one.
_FAMILIES: tuple[tuple[Group, str, str, tuple[str, ...]], ...] = (
    (_OBJECTS, "tags", "Tags of objects.", ("tags:get", "tags:set", "tags:rm")),
    (
        _OBJECTS,
        "versions",
        "Older versions of objects.",
        ("versions:ls", "versions:restore", "versions:rm"),
    ),
    (_OBJECTS, "uploads", "Multipart uploads under way.", ("uploads:ls", "uploads:abort")),
    (_SERVICES, "driver", "Drivers of one's own.", ("driver:new",)),
    (
        _SERVICES,
        "imports",
        "Imports of files.",
        ("imports:list_", "imports:show", "imports:watch", "imports:work"),
    ),
    (
        _SERVICES,
        "admin",
        "Who may do what on a gateway: projects, users, tokens, policies.",
        (
            "admin:audit",
            "admin:prune_audit",
            "admin_database:backup",
            "admin_database:restore",
        ),
    ),
    (
        _SERVICES,
        "admin project",
        "Projects, which share nothing.",
        ("admin_projects:create", "admin_projects:list_", "admin_projects:delete"),
    ),
    (
        _SERVICES,
        "admin user",
        "Users and services of a project.",
        (
            "admin_users:create",
            "admin_users:list_",
            "admin_users:disable",
            "admin_users:enable",
            "admin_users:delete",
        ),
    ),
    (
        _SERVICES,
        "admin token",
        "Tokens of users.",
        ("admin_tokens:create", "admin_tokens:list_", "admin_tokens:revoke"),
    ),
    (
        _SERVICES,
        "admin policy",
        "Policies: what is allowed to users.",
        (
            "admin_policies:put",
            "admin_policies:list_",
            "admin_policies:show",
            "admin_policies:delete",
            "admin_policies:attach",
            "admin_policies:detach",
        ),
    ),
    (
        _SERVICES,
        "admin bucket",
        "Buckets of a project.",
        ("admin_buckets:create", "admin_buckets:list_", "admin_buckets:delete"),
    ),
    (
        _PROFILES,
        "config",
        "The configuration.",
        (
            "configuration:show",
            "configuration:check",
            "configuration:schema",
            "configuration:trust",
            "configuration:path",
        ),
    ),
)

# The parser takes "-" for an option, so it sees this instead, which no argument can hold.
STAND_IN = "\0"

_HELP_FLAGS = ("--help", "-h")
_HELP = """Buckets and objects on any backend.

An address is PROFILE:BUCKET/KEY, or BUCKET/KEY on the default profile. A "-" stands for
standard input or output.
"""


def _telling(default: object) -> object:
    """Only a default that tells something is shown."""
    return None if default in {None, False, ""} or default == () else default


def build(adopt: Callable[[Output], None] = lambda _: None) -> App:
    """The command line; its ``meta`` is what runs.

    Args:
        adopt: As for `run`.
    """
    app = App(
        name=PROGRAM,
        help=_HELP,
        help_flags=_HELP_FLAGS,
        version_flags=[],
        default_parameter=Parameter(negative="", show_default=_telling),
    )
    for group, commands in _COMMANDS:
        for command in commands:
            _add(app, command, group)
    families = {"": app}
    for group, path, text, commands in _FAMILIES:
        parent, _, name = path.rpartition(" ")
        # Told the group within a family too, the help would show its title there.
        family = App(name=name, help=text, group=None if parent else group, help_flags=_HELP_FLAGS)
        for command in commands:
            _add(family, command, None)
        families[parent].command(family)
        families[path] = family
    _share_options(app, adopt)
    return app


def _add(app: App, command: str, group: Group | None) -> None:
    # A function that would hide a built-in one ends with "_".
    name = command.partition(":")[2].strip("_").replace("_", "-")
    app.command(f"storage_core.cli.{command}", name=name, group=group, help_flags=_HELP_FLAGS)


def import_all(app: App) -> None:
    """Import the modules of all commands: their docstrings are the help."""
    for name in app:
        if not name.startswith("-"):
            import_all(app[name])


def run(arguments: Sequence[str], adopt: Callable[[Output], None]) -> None:
    """Run one command.

    Args:
        arguments: Those of the command line, without the program's name.
        adopt: Told of the output as soon as the options are read, for errors to come.

    Raises:
        CycloptsError: the command line is wrong.
        Exception: whatever the command raised.
    """
    given = [STAND_IN if argument == "-" else argument for argument in arguments]
    app = build(adopt)
    app.meta(given, result_action="return_value", exit_on_error=False, print_error=False)


def _share_options(app: App, adopt: Callable[[Output], None]) -> None:
    """Have options before or after any command that start its session."""

    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        config: Annotated[str | None, Parameter(group=_SHARED)] = None,
        profile: Annotated[str | None, Parameter(group=_SHARED, completer=profile_names)] = None,
        json: Annotated[bool, Parameter(group=_SHARED)] = False,
        quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], group=_SHARED)] = False,
    ) -> None:
        """Start a command.

        Args:
            tokens: The command and its own arguments.
            config: Read this configuration instead of looking for one.
            profile: Profile of addresses that name none.
            json: Results, and errors, as JSON, one object a line.
            quiet: Say nothing of what went well; show no progress.
        """
        out = Output(json=json, quiet=quiet)
        adopt(out)
        _call(app, tokens, Session(_restored(config), _restored(profile), out))

    app.meta.help_flags = ()  # they are for the command
    app.meta.default(launch)


def _call(app: App, tokens: Sequence[str], session: Session) -> None:
    command, bound, ignored = app.parse_args(list(tokens), exit_on_error=False, print_error=False)
    if getattr(command, "__func__", None) is App.help_print:
        import_all(app)
    given: dict[str, Any] = {"session": session} if "session" in ignored else {}
    for name, value in bound.arguments.items():
        bound.arguments[name] = _restored(value)
    try:
        command(*bound.args, **bound.kwargs, **given)
    finally:
        session.close()


def _restored(value: Any) -> Any:
    """An argument with the stand-in taken out again."""
    if isinstance(value, (tuple, list)):
        return type(value)(_restored(item) for item in value)
    if isinstance(value, Path):
        return Path("-") if str(value) == STAND_IN else value
    return "-" if value == STAND_IN else value
