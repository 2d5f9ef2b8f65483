"""What the suite does not see of the memory driver: how its objects are shared."""

import pickle

import pytest

import storage_core
from storage_conformance.memory import MemoryDriver
from storage_conformance.memory_settings import MemorySettings


def test_drivers_of_one_name_share_their_objects():
    with (
        storage_core.open(config={"driver": "memory", "name": "shared"}) as one,
        storage_core.open(config={"driver": "memory", "name": "shared"}) as other,
    ):
        one.create_bucket("fruit").put("apple", b"red")
        assert other.bucket("fruit").exists("apple")


def test_drivers_without_a_name_have_their_own():
    with (
        storage_core.open(config={"driver": "memory"}) as one,
        storage_core.open(config={"driver": "memory"}) as other,
    ):
        one.create_bucket("fruit")
        assert not other.bucket_exists("fruit")


def test_a_url_names_the_objects():
    with (
        storage_core.open_url("memory://orchard") as one,
        storage_core.open(config={"driver": "memory", "name": "orchard"}) as other,
    ):
        one.create_bucket("fruit")
        assert other.bucket_exists("fruit")


def test_objects_outlive_a_closed_storage():
    driver = MemoryDriver(MemorySettings())
    with storage_core.open_driver(driver) as storage:
        storage.create_bucket("fruit").put("apple", b"red")
    with (
        storage_core.open_driver(driver) as storage,
        storage.bucket("fruit").get("apple") as reader,
    ):
        assert reader.read() == b"red"


def test_a_pickled_driver_takes_its_settings_along():
    driver = MemoryDriver(MemorySettings(name="pickled", versions=True))
    copied = pickle.loads(pickle.dumps(driver))
    assert copied.capabilities.versions
    assert copied.describe() == "memory 'pickled'"


def test_an_unknown_setting_is_refused():
    with pytest.raises(storage_core.ConfigError, match="vesions"):
        storage_core.open(config={"driver": "memory", "vesions": True})
