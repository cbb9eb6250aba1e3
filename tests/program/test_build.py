"""The committed program is what its source says, and the linker refuses what the loader could not run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from engine.sandbox.program import load, load_crowd
from engine.sandbox.program.build import COMPILER, CROWD, FLAGS, BuildFailed, build
from engine.sandbox.program.linker import LinkError, link

BUILT_WITH = "19.1.7"
ENTRY = "unsigned long long entrypoint(const unsigned char *input) "


def installed_version() -> str | None:
    if shutil.which(COMPILER) is None:
        return None
    asked = subprocess.run([COMPILER, "-dumpversion"], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


VERSION = installed_version()
needs_compiler = pytest.mark.skipif(VERSION is None, reason="the Debian package clang-19 is not installed")


def compile_object(folder: Path, source: str) -> bytes:
    (folder / "case.c").write_text(source)
    subprocess.run([COMPILER, *FLAGS, "-c", "case.c", "-o", "case.o"], cwd=folder, check=True)
    return (folder / "case.o").read_bytes()


@needs_compiler
@pytest.mark.skipif(VERSION != BUILT_WITH, reason=f"another clang-19 than {BUILT_WITH} gives other bytes")
def test_the_committed_programs_are_what_their_sources_build_to() -> None:
    assert build() == load()
    assert build(CROWD) == load_crowd()


@needs_compiler
def test_a_program_with_a_writable_global_is_refused(tmp_path: Path) -> None:
    source = f"static volatile int counter = 7; {ENTRY}{{ counter += input[0]; return counter; }}"
    with pytest.raises(LinkError, match=r"\.data is writable"):
        link(compile_object(tmp_path, source))


@needs_compiler
def test_a_program_with_pointers_in_its_constants_is_refused(tmp_path: Path) -> None:
    source = f'static const char *const NAMES[] = {{"a", "b"}}; {ENTRY}{{ return NAMES[input[0]][0]; }}'
    with pytest.raises(LinkError, match=r"\.rodata holds pointers"):
        link(compile_object(tmp_path, source))


@needs_compiler
def test_a_program_that_calls_what_the_runtime_lacks_is_refused(tmp_path: Path) -> None:
    source = f"extern void memcpy_fast(const void *); {ENTRY}{{ memcpy_fast(input); return 0; }}"
    with pytest.raises(LinkError, match="calls memcpy_fast, which the runtime does not have"):
        link(compile_object(tmp_path, source))


@needs_compiler
def test_an_object_without_an_entrypoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="defines no function entrypoint"):
        link(compile_object(tmp_path, "int other(int value) { return value + 1; }"))


def test_bytes_that_are_no_bpf_object_are_refused() -> None:
    with pytest.raises(LinkError, match="no relocatable 64-bit little endian BPF object"):
        link(load())


def test_a_missing_compiler_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BuildFailed, match="install the Debian package clang-19"):
        build()
