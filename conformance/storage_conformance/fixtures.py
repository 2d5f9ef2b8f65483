"""`Suite`: the base of all categories, with the fixtures their cases ask for."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from storage_conformance.cases import Case, case_of
from storage_conformance.faces import FACES
from storage_conformance.http import HttpClient
from storage_conformance.links import Links, LinkServers, Redeemer
from storage_conformance.profiles import Openings, ProfileSpec, layers_of
from storage_conformance.report import plain
from storage_conformance.watch import no_requests
from storage_core import Bucket, Storage, UnsupportedError
from storage_core.driver import Driver
from storage_core.model import Capabilities

_SERVERS = pytest.StashKey[LinkServers]()


class Suite:
    """Cases for one profile, on both faces. Subclasses of the suite's classes override the
    fixture `profile`; everything else is optional.

    Attributes:
        faces: Faces the cases run on.
        server: Name and version of the service behind the driver, for reports and waivers;
            None takes what the driver says of itself.
        turns: Whether each case runs on one of `faces` only, half of them on each, unless the
            command line says otherwise (`--conformance-face`).
        waivers: List of the cases that are allowed to fail, a TOML document.
    """

    faces: ClassVar[tuple[str, ...]] = FACES
    server: str | None = None
    turns: ClassVar[bool] = False
    waivers: ClassVar[str | os.PathLike[str] | None] = None

    _request: pytest.FixtureRequest
    facts: Mapping[str, Any]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each case on each face, or on the one whose turn it is: always the same one for a
        case of a class, and about as many on each."""
        faces, case = self.faces, case_of(metafunc.function)
        option = metafunc.config.getoption("conformance_face")
        if case is not None and (option == "turns" or (option is None and self.turns)):
            place = zlib.crc32(f"{type(self).__name__} {case.id}".encode())
            faces = (faces[place % len(faces)],)
        metafunc.parametrize("face", faces)

    # --- what a profile is ------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def short_differences(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where these are set pytest compares in full, which for two megabytes of bytes that
        differ takes it many minutes."""
        for name in ("CI", "BUILD_NUMBER"):
            monkeypatch.delenv(name, raising=False)

    @pytest.fixture
    def profile(self) -> str | Mapping[str, Any] | Driver:
        """The profile under test: its table, its name in the configuration, or a driver."""
        raise NotImplementedError("override the fixture 'profile' in your subclass of the suite")

    @pytest.fixture
    def service(self) -> str | None:
        """`server`, for those who know it only when the service runs."""
        return self.server

    @pytest.fixture
    def profile_spec(self, profile: str | Mapping[str, Any] | Driver | ProfileSpec) -> ProfileSpec:
        """How to open the profile, in another process as well."""
        return profile if isinstance(profile, ProfileSpec) else ProfileSpec(profile)

    # --- what cases work with ---------------------------------------------------------

    @pytest.fixture
    def openings(self, profile_spec: ProfileSpec, face: str) -> Openings:
        return Openings(profile_spec, face)

    @pytest.fixture
    def storage(self, request: pytest.FixtureRequest, openings: Openings) -> Iterator[Storage]:
        """The opened profile. Its links can be redeemed if the case asks for `links`."""
        base_url = None
        if "links" in request.fixturenames:
            redeemer: Redeemer = request.getfixturevalue("redeemer")
            base_url, openings.link_keys = redeemer.base_url, redeemer.keys
        storage = openings.open(base_url=base_url)
        yield storage
        openings.close(storage)

    @pytest.fixture
    def capabilities(self, storage: Storage) -> Capabilities:
        """What the profile declares."""
        return storage.capabilities

    @pytest.fixture
    def make_bucket(self, storage: Storage, openings: Openings) -> Callable[[], Bucket]:
        """Makes buckets of random names, removed at the end of the case."""
        return lambda: openings.make_bucket(storage)

    @pytest.fixture
    def bucket(self, make_bucket: Callable[[], Bucket]) -> Bucket:
        """A new and empty bucket."""
        return make_bucket()

    @pytest.fixture
    def bucket_name(self, openings: Openings) -> Callable[[], str]:
        """Makes random names for buckets; what is created under them is removed."""
        return openings.bucket_name

    @pytest.fixture
    def opener(self, openings: Openings) -> Callable[..., Storage]:
        """Opens the profile again: see `Openings.open`."""
        return openings.open

    @pytest.fixture
    def http(self) -> HttpClient:
        """A client that knows nothing of the service."""
        return HttpClient()

    @pytest.fixture
    def redeemer(self, request: pytest.FixtureRequest, profile_spec: ProfileSpec) -> Redeemer:
        """What redeems the profile's links."""
        config = request.config
        if _SERVERS not in config.stash:
            config.stash[_SERVERS] = LinkServers()
            config.add_cleanup(config.stash[_SERVERS].close)
        return config.stash[_SERVERS].redeemer(profile_spec)

    @pytest.fixture
    def links(self, openings: Openings, redeemer: Redeemer) -> Links:
        """How links of the profile are redeemed."""
        return Links(redeemer.base_url, openings)

    # --- the gate ---------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _context(
        self,
        request: pytest.FixtureRequest,
        storage: Storage,
        profile_spec: ProfileSpec,
        face: str,
        service: str | None,
    ) -> None:
        driver = storage.driver
        self._request = request
        self.facts = {
            "profile": profile_spec.name,
            "driver": driver.name,
            "server": service or driver.describe(),
            "face": face,
            "layers": layers_of(driver),
            "capabilities": plain(storage.capabilities),
        }

    def unmet(self, case: Case) -> str | None:
        """Why the case can not run on the profile, once it is proved that the profile
        refuses what it does not declare; None if it can run.

        Raises:
            AssertionError: the refusal is not as it has to be.
        """
        storage: Storage = self._request.getfixturevalue("storage")
        missing = [need for need in case.needs if not need.predicate(storage.capabilities)]
        for need in missing:
            if need.probe is None:
                continue
            bucket: Bucket = self._request.getfixturevalue("bucket")
            with no_requests(storage):
                try:
                    need.probe(bucket)
                except UnsupportedError:
                    continue
            raise AssertionError(f"{need.name} is not declared, but the call is not refused")
        if not missing:
            return None
        return f"not declared: {', '.join(need.name for need in missing)}"
