"""Options that several commands have, with their short names."""

from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

Recursive = Annotated[bool, Parameter(name=["--recursive", "-r"])]
NoClobber = Annotated[bool, Parameter(name=["--no-clobber", "-n"])]

LeftOut: TypeAlias = Literal["headers", "metadata", "tags", "expiry"]
LeaveOut = Annotated[list[LeftOut] | None, Parameter(name="--leave-out", negative="")]
