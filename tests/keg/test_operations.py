"""K2 to K10 and K12: `StorageOperations` as a class and as a mixin, over every driver."""

from __future__ import annotations

import inspect
import io
import uuid
from enum import Enum

import pytest
import requests

import storage_core
from storage_core.compat import keg
from storage_core.compat.keg import StorageOperations


class Location(Enum):
    reports = "Reports"
    photos = "Photos"


class Reports(StorageOperations):
    """A class of an application with defaults of its own."""

    storage_location = Location.reports
    storage_profile = "uploads"


SIGNATURES = {
    "storage_delete_file": "(filename, storage_location=None, storage_profile=None)",
    "storage_download_file": "(filename, storage_location=None, storage_profile=None)",
    "storage_duplicate_file": "(filename, storage_location=None, storage_profile=None)",
    "storage_generate_filename": "(filename)",
    "storage_get_download_link": (
        "(filename, expire_minutes, storage_location=None, storage_profile=None, **kwargs)"
    ),
    "storage_get_profile": "(storage_profile=None)",
    "storage_get_upload_link": (
        "(filename, expire_minutes, storage_location=None, storage_profile=None)"
    ),
    "storage_prefix_path": "(location, filename)",
    "storage_upload_file": (
        "(file_object, filename, preserve_filename=False, storage_location=None,"
        " storage_profile=None, content_type=None, content_encoding=None)"
    ),
    "storage_upload_form_file": "(form_field, storage_location=None, storage_profile=None)",
}


def is_uuid(text: str) -> bool:
    return str(uuid.UUID(text)) == text


def upload(data: bytes = b"red", name: str = "a.txt", **kwargs) -> str:
    return Reports.storage_upload_file(io.BytesIO(data), name, **kwargs)


@pytest.mark.parametrize("name", SIGNATURES)
def test_names_order_and_keywords_are_the_documented_ones(name: str):
    signature = inspect.signature(getattr(StorageOperations, name))
    plain = signature.replace(
        parameters=[
            one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()
        ],
        return_annotation=inspect.Signature.empty,
    )
    assert str(plain) == SIGNATURES[name]


# -- K2, K3, K12: names ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "filename", "path"),
    [
        (Location.reports, "a.txt", "Reports/a.txt"),
        ("Reports", "a.txt", "Reports/a.txt"),
        (None, "a.txt", "a.txt"),
        ("", "a.txt", "a.txt"),
        (None, ".hidden", "hidden"),
        (Location.reports, ".hidden", "Reports/hidden"),
        (Location.reports, "..a", "Reports/.a"),
    ],
)
@pytest.mark.parametrize("operations", [StorageOperations, Reports, Reports()])
def test_k2_prefix_path(operations, location, filename: str, path: str):
    assert operations.storage_prefix_path(location, filename) == path
    assert operations.storage_prefix_path(location=location, filename=filename) == path


@pytest.mark.parametrize(
    ("filename", "extension"),
    [
        ("report.tar.gz", ".gz"),
        ("a.b.TXT", ".TXT"),
        (".hidden", ".hidden"),
        ("bare", ""),
        ("", ""),
        ("ends.", ""),
        ("folder.d/bare", ""),
        ("x./../../etc/passwd", ""),
        ("C:\\x.d\\bare", ""),
    ],
)
@pytest.mark.parametrize("operations", [StorageOperations, Reports])
def test_k3_k12_generate_filename(operations, filename: str, extension: str):
    names = {operations.storage_generate_filename(filename=filename) for _ in range(50)}
    assert len(names) == 50
    for name in names:
        assert type(name) is str
        assert name.endswith(extension)
        assert is_uuid(name.removesuffix(extension))


# -- K4: profiles ------------------------------------------------------------------------


def test_k4_get_profile(registry: keg.Storage, backend: keg.StorageProfile):
    class Wrong(StorageOperations):
        storage_profile = "nowhere"

    assert StorageOperations.storage_get_profile() is backend
    assert StorageOperations.storage_get_profile("uploads") is backend
    assert StorageOperations.storage_get_profile(storage_profile="uploads") is backend
    assert Reports.storage_get_profile() is backend
    assert Wrong.storage_get_profile("uploads") is backend
    with pytest.raises(ValueError, match="invalid interface 'nowhere'"):
        Wrong.storage_get_profile()
    with pytest.raises(ValueError, match="invalid interface 'x'"):
        StorageOperations.storage_get_profile("x")


# -- K5 to K8: bytes ---------------------------------------------------------------------


def test_k5_upload_file(registry: keg.Storage, bucket: storage_core.Bucket):
    name = StorageOperations.storage_upload_file(io.BytesIO(b"red"), "apple.TXT")
    assert is_uuid(name.removesuffix(".TXT"))
    with bucket.get(name) as reader:
        assert reader.read() == b"red"

    other = Reports.storage_upload_file(io.BytesIO(b"green"), "apple.TXT")
    assert other != name
    assert bucket.exists(f"Reports/{other}")

    explicit = Reports.storage_upload_file(
        io.BytesIO(b"blue"), "a.txt", False, Location.photos, "uploads", "text/plain", "identity"
    )
    info = bucket.head(f"Photos/{explicit}")
    assert (info.content_type, info.content_encoding) == ("text/plain", "identity")
    assert bucket.exists(Reports.storage_upload_file(io.BytesIO(), "empty", storage_location=""))


def test_k5_what_the_file_already_gave_is_not_uploaded(
    registry: keg.Storage, bucket: storage_core.Bucket
):
    file = io.BytesIO(b"head:body")
    file.read(5)
    with bucket.get(StorageOperations.storage_upload_file(file, "a")) as reader:
        assert reader.read() == b"body"


@pytest.mark.parametrize(
    ("filename", "kept"),
    [("../my file.TXT", "my_file.TXT"), ("a.txt", "a.txt"), ("x/../y z", "x_.._y_z")],
)
def test_k12_preserve_filename(
    registry: keg.Storage, bucket: storage_core.Bucket, filename: str, kept: str
):
    assert upload(name=filename, preserve_filename=True) == kept
    assert bucket.exists(f"Reports/{kept}")


def test_k12_extensions_survive_names_of_which_nothing_is_safe(registry: keg.Storage):
    assert upload(name="报告.pdf").endswith(".pdf")
    assert is_uuid(upload(name="报告"))
    with pytest.raises(ValueError, match="can be preserved"):
        upload(name="报告", preserve_filename=True)


def test_k6_download_file(registry: keg.Storage):
    data = bytes(range(256)) * 40_000  # more than one part, more than one chunk
    name = upload(data)
    buffer = Reports.storage_download_file(name)
    assert isinstance(buffer, io.BytesIO)
    assert buffer.tell() == 0
    assert buffer.getvalue() == data
    same = StorageOperations.storage_download_file(name, Location.reports, "uploads")
    assert same.read() == data
    with pytest.raises(keg.FileNotFoundInStorageError) as caught:
        StorageOperations.storage_download_file(name)
    assert caught.value.filename == name
    assert str(caught.value) == f"File {name} not found in StorageProfile."


def test_k7_delete_file(registry: keg.Storage, bucket: storage_core.Bucket):
    name, other = upload(), upload()
    assert Reports.storage_delete_file(name) is True
    assert StorageOperations.storage_delete_file(other, Location.reports, "uploads") is True
    assert [*bucket.list()] == []
    assert Reports.storage_delete_file(name) is True  # again


def test_k8_duplicate_file(registry: keg.Storage, bucket: storage_core.Bucket):
    name = upload(b"red", "a.tar.GZ", content_type="application/gzip")
    copy = Reports.storage_duplicate_file(name)
    another = StorageOperations.storage_duplicate_file(copy, Location.reports, "uploads")
    assert len({name, copy, another}) == 3
    for one in (copy, another):
        assert is_uuid(one.removesuffix(".GZ"))
        assert Reports.storage_download_file(one).read() == b"red"
        assert bucket.head(f"Reports/{one}").content_type == "application/gzip"
    with pytest.raises(keg.FileNotFoundInStorageError):
        Reports.storage_duplicate_file("nothing.txt")


# -- K9, K10: links ----------------------------------------------------------------------


def test_k9_get_download_link(registry: keg.Storage):
    name = upload(b"red")
    for url in (
        Reports.storage_get_download_link(name, 5),
        StorageOperations.storage_get_download_link(name, 5, Location.reports, "uploads"),
        Reports.storage_get_download_link(filename=name, expire_minutes=0.5),
    ):
        answer = requests.get(url, timeout=60)
        assert (answer.status_code, answer.content) == (200, b"red")
    url = Reports.storage_get_download_link(
        name, 5, output_path="Übersicht.txt", content_type="text/x-demo"
    )
    answer = requests.get(url, timeout=60)
    assert answer.headers["content-type"] == "text/x-demo"
    assert "filename*=UTF-8''%C3%9Cbersicht.txt" in answer.headers["content-disposition"]
    assert requests.get(
        Reports.storage_get_download_link("nothing", 5), timeout=60
    ).status_code == 404  # fmt: skip


def test_k10_get_upload_link(registry: keg.Storage, bucket: storage_core.Bucket):
    octets = {"content-type": "application/octet-stream"}
    for url, name in (
        Reports.storage_get_upload_link("a.b.TXT", 5),
        StorageOperations.storage_get_upload_link("a.b.TXT", 5, Location.reports, "uploads"),
    ):
        assert is_uuid(name.removesuffix(".TXT"))
        assert not bucket.exists(f"Reports/{name}")
        assert requests.put(url, b"red", headers=octets, timeout=60).status_code == 200
        assert Reports.storage_download_file(name).read() == b"red"


@pytest.mark.parametrize("minutes", [0, -1, -0.5, float("nan")])
def test_k9_k10_minutes_are_positive(minutes: float):
    for make in (Reports.storage_get_download_link, Reports.storage_get_upload_link):
        with pytest.raises(ValueError, match="must be positive"):
            make("a.txt", minutes)
