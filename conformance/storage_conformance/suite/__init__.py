"""The suite: `All`, and the parts a driver's authors may take on one after the other.

from storage_conformance import suite

class TestMyDriver(suite.All):
    @pytest.fixture
    def profile(self):
        return {"driver": "mydriver", "endpoint": "http://127.0.0.1:9999"}
"""

from storage_conformance.cases import Case, case_of
from storage_conformance.suite.a_buckets import Buckets
from storage_conformance.suite.b_write import Write
from storage_conformance.suite.b_writers import Writers
from storage_conformance.suite.c_read import Read
from storage_conformance.suite.c_seekable import Seekable
from storage_conformance.suite.d_head import Head
from storage_conformance.suite.e_metadata import Metadata
from storage_conformance.suite.f_list import Listing
from storage_conformance.suite.f_pages import Pages
from storage_conformance.suite.g_keys import Keys
from storage_conformance.suite.h_copy import Copy
from storage_conformance.suite.i_delete import Delete
from storage_conformance.suite.j_conditions import Conditions as ConditionRules
from storage_conformance.suite.j_races import Races
from storage_conformance.suite.k_multipart import Multipart as MultipartRules
from storage_conformance.suite.k_sessions import Sessions
from storage_conformance.suite.l_keys import LinkedKeys
from storage_conformance.suite.l_links import Links as LinkUse
from storage_conformance.suite.l_rules import LinkRules
from storage_conformance.suite.m_checksums import Checksums
from storage_conformance.suite.n_tags import Tags
from storage_conformance.suite.n_versions import Versions
from storage_conformance.suite.o_errors import Errors
from storage_conformance.suite.p_faults import Faults as FaultRules
from storage_conformance.suite.p_writes import WriteFaults
from storage_conformance.suite.q_process import Process
from storage_conformance.suite.r_security import Security
from storage_conformance.suite.s_honesty import Honesty
from storage_conformance.suite.t_memory import Memory

__all__ = [
    "All",
    "Conditions",
    "Core",
    "Faults",
    "Links",
    "Memory",
    "Multipart",
    "Process",
    "Security",
    "Tags",
    "Versions",
    "all_cases",
]


class Core(
    Buckets,
    Write,
    Writers,
    Read,
    Seekable,
    Head,
    Metadata,
    Listing,
    Pages,
    Keys,
    Copy,
    Delete,
    Checksums,
    Errors,
    Honesty,
):
    """What every driver has to do."""


class Conditions(ConditionRules, Races):
    """Conditional requests and races for one key."""


class Multipart(MultipartRules, Sessions):
    """Multipart sessions."""


class Links(LinkUse, LinkRules, LinkedKeys):
    """Presigned links."""


class Faults(FaultRules, WriteFaults):
    """What networks and overloaded services do, by the faulty proxy."""


class All(Core, Conditions, Multipart, Links, Versions, Tags, Faults, Process, Security, Memory):
    """All cases."""


def all_cases() -> list[Case]:
    """Every case of the suite, by id."""
    found = {case_of(getattr(All, name)) for name in dir(All)}
    return sorted((case for case in found if case is not None), key=lambda case: case.id)
