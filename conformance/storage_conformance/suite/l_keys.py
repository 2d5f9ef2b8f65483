"""Category L, continued: odd keys go through links exactly."""

from __future__ import annotations

from collections.abc import Callable

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.http import HttpClient
from storage_conformance.links import Links
from storage_conformance.odd_keys import FAMILIES, Family, longest
from storage_conformance.redeeming import through_links
from storage_core import Bucket
from storage_core.model import Capabilities


class LinkedKeys(Suite):
    """Case L81. Those of `FAMILIES`, L51 to L80, are added below."""

    @case("L81", "keys of the greatest length go through links", clause="Links")
    def test_l81_longest(
        self, bucket: Bucket, links: Links, http: HttpClient, capabilities: Capabilities
    ) -> None:
        through_links(bucket, http, longest(capabilities))


def _linked(family: Family) -> Callable[..., None]:
    def check(self: LinkedKeys, bucket: Bucket, links: Links, http: HttpClient) -> None:  # noqa: ARG001
        through_links(bucket, http, family.keys)

    check.__name__ = f"test_{family.link_id.lower()}_{family.name}"
    check.__qualname__ = f"LinkedKeys.{check.__name__}"
    rule = f"keys with {family.rule} go through links exactly"
    return case(family.link_id, rule, clause="Links")(check)


for _family in FAMILIES:
    _check = _linked(_family)
    setattr(LinkedKeys, _check.__name__, _check)
