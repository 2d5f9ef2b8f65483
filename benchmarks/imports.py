"""What an import costs: CPU time of a fresh interpreter, in rounds that take turns.

    python benchmarks/imports.py [--quick] [--rounds N]

The first row is the interpreter alone; the others are shown above it.
"""

import argparse
import resource
import statistics
import subprocess
import sys

STATEMENTS = {
    "asyncio": "import asyncio",
    "storage_core": "import storage_core",
    "storage_core, names loaded": "from storage_core import open_url",
    "storage_core, local disk in use": (
        "import tempfile, storage_core\n"
        "with tempfile.TemporaryDirectory() as root:\n"
        "    with storage_core.open_url('file://' + root) as storage:\n"
        "        storage.create_bucket('fruit').put('apple', b'red')"
    ),
    "fsspec": "import fsspec",
    "obstore": "import obstore.store",
}


def cpu_seconds(statement: str) -> float:
    """User and system time of one interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int) -> None:
    """Print a table of medians."""
    taken: dict[str, list[float]] = {name: [] for name in ("interpreter", *STATEMENTS)}
    for _ in range(rounds):
        taken["interpreter"].append(cpu_seconds("pass"))
        for name, statement in STATEMENTS.items():
            taken[name].append(cpu_seconds(statement))
    base = statistics.median(taken["interpreter"])
    reference = statistics.median(taken["asyncio"]) - base
    print(f"interpreter alone: {base * 1000:.0f} ms CPU, median of {rounds}")
    for name in STATEMENTS:
        cost = statistics.median(taken[name]) - base
        print(f"{name:34} {cost * 1000:6.1f} ms  {cost / reference:5.2f} x asyncio")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What an import costs.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--rounds", type=int, help="11; with --quick 3")
    options = parser.parse_args()
    main(options.rounds or (3 if options.quick else 11))
