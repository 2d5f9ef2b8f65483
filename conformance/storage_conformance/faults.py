"""Which cases have to fail on which broken driver."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from storage_conformance.broken import (
    AddsTags,
    BareCopies,
    ChecksThenWrites,
    CleansKeys,
    CountedPages,
    FlipsABit,
    FoldedOrder,
    FollowsDots,
    ForgetsAttributes,
    ForgetsLinkKeys,
    ForgivingDelete,
    GuessesTypes,
    HalfBatches,
    HeaderMetadata,
    IgnoresIfMatch,
    ImplicitBuckets,
    LocalTimes,
    MissingIsAnError,
    NeverVerifies,
    NormalisesKeys,
    OldestFirst,
    OneByteTooMany,
    OneRequestAtATime,
    PromisesConditions,
    PromisesExpiry,
    PublishesWhatCame,
    RawErrors,
    SessionsAreObjects,
    ShorterKeys,
    StaysHere,
    TrustsParts,
    VagueErrors,
    WrongDigests,
)
from storage_conformance.memory import MemoryDriver
from storage_conformance.memory_settings import MemorySettings


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken driver and where the suite has to see it.

    Attributes:
        driver: The driver.
        cases: Ids that have to fail, all of one category.
        versions: Whether the driver is to keep versions.
    """

    driver: type[MemoryDriver]
    cases: Sequence[str]
    versions: bool = False

    @property
    def category(self) -> str:
        return self.cases[0][0]

    def make(self) -> MemoryDriver:
        """The driver, with objects of its own."""
        return self.driver(
            MemorySettings(
                name=f"broken-{secrets.token_hex(8)}", versions=self.versions, min_part_size=1024
            )
        )


FAULTS: Sequence[Fault] = (
    Fault(ImplicitBuckets, ("A20", "A21")),
    Fault(ForgivingDelete, ("A07",)),
    Fault(PublishesWhatCame, ("B18", "B20", "B21", "B22", "B23")),
    Fault(OneByteTooMany, ("C05", "C16")),
    Fault(FlipsABit, ("C17", "C18", "C28")),
    Fault(GuessesTypes, ("D08",)),
    Fault(LocalTimes, ("D10",)),
    Fault(HeaderMetadata, ("E07", "E08")),
    Fault(FoldedOrder, ("F03",)),
    Fault(CountedPages, ("F46", "F47", "F48")),
    Fault(SessionsAreObjects, ("F25",)),
    Fault(CleansKeys, ("G04",)),
    Fault(NormalisesKeys, ("G19",)),
    Fault(BareCopies, ("H01", "H05")),
    Fault(MissingIsAnError, ("I02",)),
    Fault(HalfBatches, ("I06", "I07")),
    Fault(ChecksThenWrites, ("J30", "J31")),
    Fault(IgnoresIfMatch, ("J01",)),
    Fault(TrustsParts, ("K13", "K14")),
    Fault(ForgetsAttributes, ("K16", "K18")),
    Fault(ForgetsLinkKeys, ("L01", "L03")),
    Fault(NeverVerifies, ("M02", "M03")),
    Fault(WrongDigests, ("M07", "M08")),
    Fault(OldestFirst, ("N03", "N04", "N11"), versions=True),
    Fault(AddsTags, ("N31",)),
    Fault(VagueErrors, ("O02",)),
    Fault(RawErrors, ("O01", "O03")),
    Fault(StaysHere, ("Q06", "Q07")),
    Fault(OneRequestAtATime, ("Q05",)),
    Fault(FollowsDots, ("R02", "R03")),
    Fault(PromisesExpiry, ("S23",)),
    Fault(PromisesConditions, ("S50",)),
    Fault(ShorterKeys, ("S09",)),
)
"""At least one for every category."""
