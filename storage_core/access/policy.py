"""The policy language: who may do what to which bucket or object. Pure, no I/O.

    {"rule": [{"effect": "Allow", "action": ["Z3:GetObject"], "resource": "Z3:fruit/**"},
              {"effect": "Deny", "action": "Z3:*", "resource": "Z3:fruit/secret/*"}]}

``rule`` is one rule or a list of them, ``action`` and ``resource`` are one string or a list.
Nothing is allowed that no rule allows, and a rule that denies beats any that allows.

A resource is a service and a path in it, ``Z3:bucket/key``. In the path of a rule ``*`` stands
for one segment, ``**`` for any number of them, none included, and a ``*`` at the end for
everything below. A ``:`` after the bucket is taken for the first ``/``. ``*``, ``*:*`` and
``*:*:*`` are everything, as action and as resource; ``Z3:*`` is all of a service.

The root of a bucket, ``Z3:bucket/``, is what a listing of all of it is about. Rules for
``Z3:bucket`` and for ``Z3:bucket/`` (so for ``Z3:bucket/*`` too) apply to it alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, cast

from storage_core.errors import InvalidRequestError

Effect: TypeAlias = Literal["Allow", "Deny"]

ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Z3": (
        "Z3:CreateBucket",
        "Z3:DeleteBucket",
        "Z3:ListBuckets",
        "Z3:ListObjects",
        "Z3:GetObject",
        "Z3:PutObject",
        "Z3:DeleteObject",
    ),
    "Import": (
        "Import:RegisterFile",
        "Import:ImportFile",
        "Import:GetFile",
    ),
}
"""The actions of each service that knows policies."""

EVERYTHING: Final = {"rule": [{"effect": "Allow", "action": "*", "resource": "*"}]}
"""The document that allows everything."""

MAX_RULES: Final = 1000
"""Most rules of one document; a rule may have as many actions and as many resources."""
MAX_RESOURCE_LENGTH: Final = 2048
"""Most characters of a resource in a rule."""

_ALL: Final = frozenset(("*", "*:*", "*:*:*"))
_GRANTED: Final = frozenset(action for actions in ACTIONS.values() for action in actions)
_MEANING: Final[Mapping[str, frozenset[str]]] = {
    **{action: frozenset((action,)) for action in _GRANTED},
    **{f"{service}:*": frozenset(actions) for service, actions in ACTIONS.items()},
    **dict.fromkeys(_ALL, _GRANTED),
}
_FIELDS: Final = frozenset(("effect", "action", "resource", "condition"))
_COLON = re.compile(r"\A([^/:]*):")


@dataclass(frozen=True, slots=True)
class Pattern:
    """The resource of a rule, compiled.

    A path is matched segment by segment, all positions in the pattern at once: they are the
    bits of a number, so that the work is one step for each segment, whatever the pattern.

    Attributes:
        text: As it was written.
    """

    text: str
    _service: str = field(repr=False, compare=False)
    """Empty for every service."""
    _literals: Mapping[str, int] = field(repr=False, compare=False)
    """Of each segment that stands for itself the positions, as bits."""
    _any: int = field(repr=False, compare=False)
    """Positions of ``*``."""
    _loops: int = field(repr=False, compare=False)
    """Positions of ``**``."""
    _end: int = field(repr=False, compare=False)
    """The position behind the last one."""

    @classmethod
    def compile(cls, text: str) -> Pattern:
        """Read a resource of a rule.

        Raises:
            InvalidRequestError: it is none.
        """
        service, segments = _segments_of(text)
        literals: dict[str, int] = {}
        any_, loops = 0, 0
        for position, segment in enumerate(segments):
            if segment == "**":
                loops |= 1 << position
            elif segment == "*":
                any_ |= 1 << position
            else:
                literals[segment] = literals.get(segment, 0) | 1 << position
        return cls(text, service, literals, any_, loops, 1 << len(segments))

    def matches(self, service: str, segments: Iterable[str]) -> bool:
        """Whether a path of a service is one of those meant."""
        if self._service not in ("", service):
            return False
        # A `**` may be skipped, and two of them never stand side by side: one shift will do.
        here = 1 | (1 & self._loops) << 1
        for segment in segments:
            step = (here & (self._any | self._literals.get(segment, 0))) << 1
            stay = here & self._loops
            here = step | stay
            here |= (here & self._loops) << 1
            if not here:
                return False
        return bool(here & self._end)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy, its actions written out.

    Attributes:
        actions: All that it is about; wildcards are resolved.
        resources: What it is about, any of them.
    """

    effect: Effect
    actions: frozenset[str]
    resources: tuple[Pattern, ...]


Rules: TypeAlias = Iterable[Rule]


def parse(document: object) -> tuple[Rule, ...]:
    """Read a policy document.

    Args:
        document: As JSON gives it: ``{"rule": …}``.

    Returns:
        Its rules, in their order.

    Raises:
        InvalidRequestError: something in it is unknown, missing or could never apply; the
            message names it. A rule that allows under a ``condition`` is refused as well:
            conditions are not evaluated, so it would allow more than it says. A rule that
            denies under one is taken, and denies without it.
    """
    if not isinstance(document, Mapping):
        raise InvalidRequestError(f'a policy is an object {{"rule": …}}, not {_kind(document)}')
    _only(document, frozenset(("rule",)), "a policy")
    if "rule" not in document:
        raise InvalidRequestError('the policy has no "rule"')
    rules = document["rule"]
    if isinstance(rules, Mapping):
        rules = [rules]
    if not isinstance(rules, list | tuple):
        raise InvalidRequestError(f"rule is an object or a list of them, not {_kind(rules)}")
    _bounded(rules, "rules")
    return tuple(_rule(rule, f"rule {number}") for number, rule in enumerate(rules, 1))


def allows(rules: Rules, action: str, resource: str) -> bool:
    """Whether the rules allow an action, such as ``Z3:GetObject``, on a resource, such as
    ``Z3:fruit/apple.txt``: some rule allows it and none denies it."""
    effects = set(_applying(rules, action, resource))
    return "Allow" in effects and "Deny" not in effects


def denies(rules: Rules, action: str, resource: str) -> bool:
    """Whether some rule denies it, which another can not allow."""
    return "Deny" in _applying(rules, action, resource)


def concerned(rules: Rules, action: str) -> frozenset[Effect]:
    """What the rules may do about an action, whatever it is done to: nothing, allow, deny."""
    return frozenset(rule.effect for rule in rules if action in rule.actions)


def _applying(rules: Rules, action: str, resource: str) -> Iterator[Effect]:
    service, _, path = resource.partition(":")
    segments = path.split("/")
    forms = [segments]
    if len(segments) == 2 and not segments[1]:  # the root of a bucket
        forms.append(segments[:1])
    for rule in rules:
        if action in rule.actions and any(
            pattern.matches(service, form) for pattern in rule.resources for form in forms
        ):
            yield rule.effect


# --- reading ------------------------------------------------------------------------------


def _rule(rule: object, where: str) -> Rule:
    if not isinstance(rule, Mapping):
        raise InvalidRequestError(f"{where} is an object, not {_kind(rule)}")
    _only(rule, _FIELDS, where)
    effect = rule.get("effect")
    if effect not in ("Allow", "Deny"):
        raise InvalidRequestError(f"{where}: effect {effect!r} is not 'Allow' or 'Deny'")
    if rule.get("condition") and effect == "Allow":
        raise InvalidRequestError(
            f"{where}: condition is not evaluated here, so the rule would allow more than it"
            " says; remove the condition, or say what is meant by resource"
        )
    actions = _strings(rule, "action", where)
    for action in actions:
        if action not in _MEANING:
            raise InvalidRequestError(
                f"{where}: action {action!r} is unknown; use {', '.join(sorted(_MEANING))}"
            )
    try:
        patterns = tuple(_compiled(resource) for resource in _strings(rule, "resource", where))
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{where}: {error.message}") from None
    named = frozenset().union(*(_MEANING[action] for action in actions))
    _check_they_meet(actions, patterns, where)
    return Rule(cast("Effect", effect), named, patterns)


def _check_they_meet(actions: Iterable[str], patterns: tuple[Pattern, ...], where: str) -> None:
    """Refuse an action without a resource it can be done to, and the other way round: what
    was meant is something else, and a Deny that never applies is none."""
    served = {pattern._service for pattern in patterns}
    wanted = {"" if action in _ALL else action.partition(":")[0] for action in actions}
    for kind, other, these, those in (
        ("action", "resource", wanted, served),
        ("resource", "action", served, wanted),
    ):
        if "" not in those and (lost := these - those - {""}):
            raise InvalidRequestError(
                f"{where}: no {other} fits its {kind} of service {min(lost)!r}"
            )


def _segments_of(text: str) -> tuple[str, list[str]]:
    """Service and path of a resource in a rule, the path ready to be matched."""
    if text in _ALL:
        return "", ["**"]
    if len(text) > MAX_RESOURCE_LENGTH:
        raise InvalidRequestError(f"a resource has at most {MAX_RESOURCE_LENGTH} characters")
    service, _, path = text.partition(":")
    if service not in ACTIONS:
        raise InvalidRequestError(
            f"resource {text!r} is unknown; it is '*' or begins with"
            f" {' or '.join(f'{name}:' for name in ACTIONS)}"
        )
    if text == service:
        return service, ["**"]
    segments = _COLON.sub(r"\1/", path, count=1).split("/")
    if not segments[0]:
        raise InvalidRequestError(f"resource {text!r} names no bucket")
    if segments[-1] == "*":
        segments.append("**")
    out: list[str] = []
    for segment in segments:
        if "*" in segment and segment not in ("*", "**"):
            raise InvalidRequestError(
                f"resource {text!r}: '*' stands for a whole segment, {segment!r} is only a part"
            )
        if segment != "**" or out[-1:] != ["**"]:
            out.append(segment)
    return service, out


# Policies are read anew for each request, mostly the same ones.
_compiled = lru_cache(maxsize=4096)(Pattern.compile)


def _strings(rule: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    value = rule.get(name)
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(v, str) for v in values):
        raise InvalidRequestError(f"{where}: {name} is a string or a list of strings")
    if not values:
        raise InvalidRequestError(f"{where}: {name} is empty")
    _bounded(values, f"{name} entries")
    return tuple(values)


def _bounded(values: list[object] | tuple[object, ...], what: str) -> None:
    if len(values) > MAX_RULES:
        raise InvalidRequestError(f"a policy has at most {MAX_RULES} {what}, not {len(values)}")


def _only(given: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Refuse what would be left aside: it may have been meant to narrow."""
    if unknown := [name for name in given if name not in known]:
        raise InvalidRequestError(
            f"{where} has no {unknown[0]!r}; it has {', '.join(sorted(known))}"
        )


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", type(None): "null", bool: "a boolean"}
    return names.get(type(value), f"a {type(value).__name__}")
