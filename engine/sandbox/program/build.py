"""Builds the programs: clang compiles the C, the linker beside this file makes the shared objects.

Run as `python -m engine.sandbox.program.build`. The same compiler gives the same bytes, so the results are
kept beside their sources: the protocol's program, and the one by which strangers congest a market.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from engine.errors import OperatorError
from engine.sandbox.program.linker import link

COMPILER = "clang-19"
FLAGS = (
    "-target",
    "bpf",
    "-mcpu=v2",
    "-O2",
    "-std=c17",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-jump-tables",  # a jump table is a constant full of pointers
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-function",  # two programs share the headers, and neither needs all that is in them
    "-mllvm",
    "-bpf-stack-size=4096",  # a stack frame on Solana; the kernel's is 512
)

FOLDER = Path(__file__).parent
PROTOCOL, CROWD = "program.c", "crowd.c"
TARGETS = {PROTOCOL: FOLDER / "liquidation_engine.so", CROWD: FOLDER / "crowd.so"}


class BuildFailed(OperatorError):
    """The compiler is missing or refused the source."""


def build(source: str = PROTOCOL) -> bytes:
    """Compile and link a program; raises BuildFailed, or LinkError for what the loader would refuse."""
    compiler = shutil.which(COMPILER)
    if compiler is None:
        raise BuildFailed(f"{COMPILER} is not installed: install the Debian package {COMPILER}")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "program.o"
        command = [compiler, *FLAGS, "-c", source, "-o", str(target)]
        result = subprocess.run(  # noqa: S603 - the compiler, with our own source
            command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=120
        )
        if result.returncode != 0:
            raise BuildFailed(f"{COMPILER} refused the program: mend the source\n{result.stderr}")
        return link(target.read_bytes())


if __name__ == "__main__":
    for name, built in TARGETS.items():
        built.write_bytes(build(name))
