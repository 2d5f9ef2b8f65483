"""Options that several commands have, with their short names."""

from typing import Annotated

from cyclopts import Parameter

Recursive = Annotated[bool, Parameter(name=["--recursive", "-r"])]
NoClobber = Annotated[bool, Parameter(name=["--no-clobber", "-n"])]
