"""The profiles a gateway serves, opened on its loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from storage_core.aio import AsyncStorage
from storage_core.errors import ConfigError, ProfileNotFoundError
from storage_core.links import LinkKeys
from storage_core.opening import Recipe

FURTHER: Final = "/p/"
"""First segment of the paths of every profile but the first."""


@dataclass(frozen=True, slots=True)
class OpenProfile:
    """A profile while it is served.

    Attributes:
        name: The profile's name.
        mount: Path below which its links lie; empty for the first one.
        storage: Opened on the serving loop.
        keys: The accepted keys of its links.
    """

    name: str
    mount: str
    storage: AsyncStorage
    keys: LinkKeys


class Profiles(Mapping[str, OpenProfile]):
    """Profiles by name, the first one first.

    Args:
        recipes: How to open each, the first one first.

    Raises:
        ConfigError: there is none, or two have one name.
    """

    def __init__(self, recipes: tuple[Recipe, ...]) -> None:
        self.recipes = {recipe.profile: recipe for recipe in recipes}
        if not recipes:
            raise ConfigError("there is no profile to serve; name one")
        if len(self.recipes) < len(recipes):
            raise ConfigError("two of the profiles to serve have the same name; rename one")
        self.first = recipes[0].profile
        self._open: dict[str, OpenProfile] = {}
        self._closing = AsyncExitStack()

    async def open(self) -> None:
        """Open all of them.

        Raises:
            ConfigError: one has no link keys, or two have the same: a link for one would
                open the other.
        """
        owners: dict[bytes, str] = {}
        try:
            for name, recipe in self.recipes.items():
                storage = await self._closing.enter_async_context(AsyncStorage(recipe))
                secrets = recipe.links.keys or storage.driver.link_keys()
                if not secrets:
                    raise ConfigError(
                        f"profile {name!r} has no keys to verify links with: set links.keys"
                    )
                for secret in secrets.values():
                    if owners.setdefault(secret, name) != name:
                        raise ConfigError(
                            f"the profiles {owners[secret]!r} and {name!r} share a link key, so"
                            " that a link for one would open the other; set links.keys of one"
                        )
                mount = self.mount(name)
                self._open[name] = OpenProfile(name, mount, storage, LinkKeys(secrets))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close them."""
        self._open = {}
        closing, self._closing = self._closing, AsyncExitStack()
        await closing.aclose()

    def mount(self, name: str) -> str:
        """Path below which the links of a profile lie."""
        return "" if name == self.first else FURTHER + name

    def __getitem__(self, name: str) -> OpenProfile:
        return self._open[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def find(self, name: str) -> OpenProfile:
        """A profile by its name; empty for the first one.

        Raises:
            ProfileNotFoundError: it is not served here.
        """
        try:
            return self._open[name or self.first]
        except KeyError:
            raise ProfileNotFoundError(
                f"the profile {name!r} is not served; add it to gateway.profiles"
            ) from None
