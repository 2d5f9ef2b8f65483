"""The policy language: a table, and Hypothesis against a plain restatement of it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.access.policy import (
    ACTIONS,
    EVERYTHING,
    Pattern,
    allows,
    concerned,
    denies,
    parse,
)
from storage_core.errors import InvalidRequestError

GET = "Z3:GetObject"


def rule(resource: Any, action: Any = "Z3:*", effect: str = "Allow") -> dict[str, Any]:
    return {"effect": effect, "action": action, "resource": resource}


def policy(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"rule": list(rules)}


MATCHES = [
    # resource of the rule, those it is about, those it is not
    ("Z3:fruit", ["Z3:fruit", "Z3:fruit/"], ["Z3:fruit/apple", "Z3:fruits", "Z3:fru", "Import:fruit"]),
    ("Z3:fruit/", ["Z3:fruit/"], ["Z3:fruit", "Z3:fruit/a"]),
    ("Z3:fruit/*", ["Z3:fruit/", "Z3:fruit/a", "Z3:fruit/a/b", "Z3:fruit/a//"], ["Z3:fruit", "Z3:x/a"]),
    ("Z3:fruit/**", ["Z3:fruit", "Z3:fruit/", "Z3:fruit/a/b/c"], ["Z3:fruits/a"]),
    ("Z3:*", ["Z3:fruit", "Z3:fruit/a/b", "Z3:x/"], ["Import:fruit"]),
    ("Z3", ["Z3:fruit", "Z3:fruit/a/b"], ["Import:fruit"]),
    ("Z3:**", ["Z3:fruit", "Z3:fruit/a/b"], ["Import:fruit"]),
    ("Z3:fruit/dir/one.csv", ["Z3:fruit/dir/one.csv"], ["Z3:fruit/dir/one.csv/", "Z3:fruit/dir"]),
    ("Z3:fruit/dir/*", ["Z3:fruit/dir/", "Z3:fruit/dir/a/b"], ["Z3:fruit/dir", "Z3:fruit/dirt/a"]),
    ("Z3:fruit/*/one", ["Z3:fruit/a/one", "Z3:fruit//one"], ["Z3:fruit/one", "Z3:fruit/a/b/one"]),
    (
        "Z3:fruit/dir/**/one.csv",
        ["Z3:fruit/dir/one.csv", "Z3:fruit/dir/a/one.csv", "Z3:fruit/dir/a/b/one.csv"],
        ["Z3:fruit/one.csv", "Z3:fruit/dir/a/two.csv", "Z3:fruit/dir/a/one.csv/x"],
    ),
    ("Z3:*/public/*", ["Z3:a/public/x/y", "Z3:b/public/"], ["Z3:a/private/x", "Z3:public/x"]),
    ("Z3:fruit:dir/a", ["Z3:fruit/dir/a"], ["Z3:fruit:dir/a"]),
    ("Z3:fruit:*", ["Z3:fruit/a/b", "Z3:fruit/"], ["Z3:fruit"]),
    ("Z3:fruit/a:b", ["Z3:fruit/a:b"], ["Z3:fruit/a/b"]),
    ("Z3:fruit/a//b", ["Z3:fruit/a//b"], ["Z3:fruit/a/b"]),
    ("Z3:fruit/**/**/a", ["Z3:fruit/a", "Z3:fruit/x/a"], ["Z3:fruit/a/x"]),
    ("Z3:fruit/**/*", ["Z3:fruit/a", "Z3:fruit/a/b"], ["Z3:fruit"]),
    ("Z3:fruit/?", ["Z3:fruit/?"], ["Z3:fruit/a"]),
    ("Z3:fruit/.+", ["Z3:fruit/.+"], ["Z3:fruit/ab"]),
    *[(every, ["Z3:fruit", "Z3:fruit/a/b", "Import:x/y"], []) for every in ("*", "*:*", "*:*:*")],
]  # fmt: skip


@pytest.mark.parametrize(("resource", "inside", "outside"), MATCHES, ids=[m[0] for m in MATCHES])
def test_what_a_resource_is_about(resource: str, inside: list[str], outside: list[str]) -> None:
    rules = parse(policy({"effect": "Allow", "action": "*", "resource": resource}))
    for asked in inside:
        assert allows(rules, f"{asked.partition(':')[0]}:{_first(asked)}", asked), asked
    for asked in outside:
        assert not allows(rules, f"{asked.partition(':')[0]}:{_first(asked)}", asked), asked


def _first(resource: str) -> str:
    return ACTIONS[resource.partition(":")[0]][0].partition(":")[2]


def test_nothing_is_allowed_without_a_rule() -> None:
    assert not allows((), GET, "Z3:fruit/a")
    assert not allows(parse({"rule": []}), GET, "Z3:fruit/a")
    assert not allows(parse(policy(rule("Z3:*", "Z3:PutObject"))), GET, "Z3:fruit/a")


@pytest.mark.parametrize("turned", [False, True])
def test_deny_beats_allow_in_either_order(turned: bool) -> None:
    both = [rule("Z3:*"), rule("Z3:fruit/secret/*", GET, "Deny")]
    rules = parse(policy(*(reversed(both) if turned else both)))
    assert not allows(rules, GET, "Z3:fruit/secret/a")
    assert denies(rules, GET, "Z3:fruit/secret/a")
    assert allows(rules, "Z3:PutObject", "Z3:fruit/secret/a")
    assert allows(rules, GET, "Z3:fruit/open")
    assert not denies(rules, GET, "Z3:fruit/open")


def test_the_root_of_a_bucket_may_be_denied_in_either_form() -> None:
    for denied in ("Z3:fruit", "Z3:fruit/", "Z3:fruit/*"):
        rules = parse(policy(rule("Z3:*"), rule(denied, effect="Deny")))
        assert not allows(rules, "Z3:ListObjects", "Z3:fruit/"), denied


def test_strings_and_lists_and_a_single_rule_say_the_same() -> None:
    single = parse({"rule": rule("Z3:fruit/*", GET)})
    assert single == parse(policy(rule(["Z3:fruit/*"], [GET])))
    assert single[0].actions == {GET}
    assert single[0].resources[0].text == "Z3:fruit/*"


def test_wildcards_of_actions() -> None:
    assert parse(policy(rule("*", "Z3:*")))[0].actions == set(ACTIONS["Z3"])
    everything = {action for actions in ACTIONS.values() for action in actions}
    for every in ("*", "*:*", "*:*:*"):
        assert parse(policy(rule("*", every)))[0].actions == everything
    assert all(
        allows(parse(EVERYTHING), action, f"{service}:b/k")
        for service, actions in ACTIONS.items()
        for action in actions
    )


def test_what_rules_may_do_about_an_action() -> None:
    rules = parse(policy(rule("Z3:a/*", GET), rule("Z3:b", "Z3:ListBuckets", "Deny")))
    assert concerned(rules, GET) == {"Allow"}
    assert concerned(rules, "Z3:ListBuckets") == {"Deny"}
    assert concerned(rules, "Z3:PutObject") == set()


REFUSED: list[tuple[Any, str]] = [
    # document, what the message must name
    (None, "null"),
    ([], "a list"),
    ("*", "a string"),
    ({}, '"rule"'),
    ({"rule": None}, "null"),
    ({"rule": "x"}, "a string"),
    ({"rules": []}, "'rules'"),
    ({"rule": [1]}, "rule 1"),
    ({"rule": [rule("*"), {"effect": "Allow"}]}, "rule 2: action"),
    (policy({**rule("*"), "effect": "allow"}), "'allow'"),
    (policy({"action": "*", "resource": "*"}), "effect None"),
    (policy({**rule("*"), "effect": ["Allow"]}), "['Allow']"),
    (policy({**rule("*"), "resources": "x"}), "'resources'"),
    (policy(rule("*", "Z3:ReadObject")), "'Z3:ReadObject'"),
    (policy(rule("*", "z3:GetObject")), "'z3:GetObject'"),
    (policy(rule("*", ["Z3:*", "FHIR:Read"])), "'FHIR:Read'"),
    (policy(rule("*", [])), "action is empty"),
    (policy(rule([])), "resource is empty"),
    (policy(rule(["Z3:*", 3])), "resource"),
    (policy(rule({"Z3": "*"})), "resource"),
    (policy(rule("fruit")), "'fruit'"),
    (policy(rule("S3:fruit")), "'S3:fruit'"),
    (policy(rule("")), "''"),
    (policy(rule("Z3:")), "no bucket"),
    (policy(rule("Z3:/a")), "no bucket"),
    (policy(rule("Z3::a")), "no bucket"),
    (policy(rule("Z3:fruit/*.csv")), "'*.csv'"),
    (policy(rule("Z3:fruit-*")), "'fruit-*'"),
    (policy(rule("Z3:fruit/***")), "'***'"),
    (policy(rule("Z3:" + "a" * 2048)), "2048"),
    (policy(rule("Z3:*", "Import:*")), "'Import'"),
    (policy(rule(["Z3:*", "Import:*"], "Z3:*")), "'Import'"),
    (policy({**rule("*"), "condition": {"a": 1}}), "condition"),
    (policy(*[rule("*")] * 1001), "1001"),
    (policy(rule(["*"] * 1001)), "1001"),
]


@pytest.mark.parametrize(("document", "named"), REFUSED, ids=[named for _, named in REFUSED])
def test_a_refusal_names_what_is_wrong(document: object, named: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse(document)
    assert named in caught.value.message


def test_a_condition_may_only_stand_where_leaving_it_out_denies_more() -> None:
    denying = {**rule("Z3:fruit/*", effect="Deny"), "condition": {"tag": "x"}}
    assert denies(parse(policy(denying)), GET, "Z3:fruit/a")
    assert allows(parse(policy({**rule("Z3:*"), "condition": None})), GET, "Z3:fruit/a")


def test_the_work_grows_with_the_path_and_not_with_what_could_be_tried() -> None:
    """A matcher that tries one way after the other takes for ever here; this one one step for
    each segment, however the pattern is built. Steps are counted, not timed."""
    pattern = Pattern.compile("Z3:" + "**/a/*/" * 200 + "z")

    def steps(segments: int) -> int:
        taken = 0

        def path() -> Any:
            nonlocal taken
            for _ in range(segments):
                taken += 1
                yield "a"

        lines = 0

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal lines
            if frame.f_code is Pattern.matches.__code__:
                lines += event == "line"
                return trace
            return None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert not pattern.matches("Z3", path())
        finally:
            sys.settrace(before)
        assert taken <= segments
        return lines

    assert steps(1000) <= 2.1 * steps(500)


# --- against a plain restatement ------------------------------------------------------------

SEGMENTS = st.sampled_from(["", "a", "b", "ab", "x.csv", "ü", ":"])
PATTERN_SEGMENTS = st.sampled_from(["", "a", "b", "ab", "x.csv", "ü", "*", "**"])
BUCKETS = st.sampled_from(["a", "b", "ab"])
EFFECTS = st.sampled_from(["Allow", "Deny"])
RESOURCES = st.builds(
    lambda bucket, rest: "Z3:" + "/".join([bucket, *rest]),
    st.sampled_from(["a", "b", "ab", "*", "**"]),
    st.lists(PATTERN_SEGMENTS, max_size=6),
)
ASKED = st.builds(
    lambda bucket, rest: "Z3:" + "/".join([bucket, *rest]), BUCKETS, st.lists(SEGMENTS, max_size=6)
)


def naive(pattern: list[str], path: list[str]) -> bool:
    """The rule as one would say it."""
    if not pattern:
        return not path
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        return any(naive(rest, path[count:]) for count in range(len(path) + 1))
    if head == "*" and not rest:
        return len(path) >= 1
    return bool(path) and head in ("*", path[0]) and naive(rest, path[1:])


def naive_allows(document: Any, action: str, asked: str) -> bool:
    path = asked.removeprefix("Z3:").split("/")
    forms = [path, path[:1]] if len(path) == 2 and path[1] == "" else [path]
    found = [
        each["effect"]
        for each in document["rule"]
        for resource in each["resource"]
        if action in each["action"] or "Z3:*" in each["action"]
        if any(naive(resource.removeprefix("Z3:").split("/"), form) for form in forms)
    ]
    return "Allow" in found and "Deny" not in found


@given(resource=RESOURCES, asked=ASKED)
def test_matching_is_as_one_would_say_it(resource: str, asked: str) -> None:
    segments = asked.removeprefix("Z3:").split("/")
    expected = naive(resource.removeprefix("Z3:").split("/"), segments)
    assert Pattern.compile(resource).matches("Z3", segments) == expected


RULES = st.fixed_dictionaries(
    {
        "effect": EFFECTS,
        "action": st.lists(st.sampled_from([*ACTIONS["Z3"], "Z3:*"]), min_size=1, max_size=3),
        "resource": st.lists(RESOURCES, min_size=1, max_size=3),
    }
)


@given(document=st.fixed_dictionaries({"rule": st.lists(RULES, max_size=5)}), asked=ASKED)
def test_evaluation_is_as_one_would_say_it(document: Any, asked: str) -> None:
    rules = parse(document)
    for action in ACTIONS["Z3"]:
        assert allows(rules, action, asked) == naive_allows(document, action, asked)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["rule", "effect", "action", "resource", "condition"])
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(document=JSON | st.fixed_dictionaries({"rule": JSON}))
def test_anything_is_read_or_refused(document: object) -> None:
    try:
        rules = parse(document)
    except InvalidRequestError:
        return
    assert all(each.effect in ("Allow", "Deny") for each in rules)


@given(text=st.text(max_size=40), asked=ASKED)
def test_any_resource_is_read_or_refused(text: str, asked: str) -> None:
    for resource in (text, f"Z3:{text}"):
        try:
            pattern = Pattern.compile(resource)
        except InvalidRequestError:
            continue
        pattern.matches("Z3", asked.removeprefix("Z3:").split("/"))
