"""Writes liquidations to a file of the operator's own: CSV or JSON, readable by nobody else."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import msgspec

from engine.api import wire
from engine.errors import OperatorError

MOST_ROWS = 100_000
FIELDS = wire.LiquidationRow.__struct_fields__
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet would run a text that begins so


class Format(StrEnum):
    """The kind of file, by the ending of its name."""

    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Exported:
    """A written file. With `is_cut` there were more than MOST_ROWS rows; the newest are in the file."""

    path: Path
    rows: int
    is_cut: bool


class ExportFailed(OperatorError):
    """The file could not be written."""


async def export(
    folder: Path, name: str, kind: Format, pages: AsyncIterator[Sequence[wire.LiquidationRow]]
) -> Exported:
    """Write every row of the pages once, by its signature, to `folder`/`name`.csv or .json.

    The file has its name when it is complete, never before. Raises ExportFailed, and what `pages` raises.
    """
    path = folder / f"{name}.{kind.value}"
    partial = path.with_name(f".{path.name}.part")
    try:
        with _private(partial) as file:
            rows, is_cut = await _write(file, kind, pages)
        partial.rename(path)
    except OSError as error:
        raise ExportFailed(
            f"The export to {path} was not written ({error.strerror}): make room, or mend the folder"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return Exported(path, rows, is_cut)


def _private(path: Path) -> BinaryIO:
    """A new file that only this user may read, in a folder that only this user may enter."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


async def _write(
    file: BinaryIO, kind: Format, pages: AsyncIterator[Sequence[wire.LiquidationRow]]
) -> tuple[int, bool]:
    seen: set[str] = set()
    file.write(b"[" if kind is Format.JSON else _csv([FIELDS]))
    async for page in pages:
        # Pages are counted from the newest row on: one that came in late shifts another to the next page.
        for row in page:
            if row.signature in seen or len(seen) >= MOST_ROWS:
                continue
            if kind is Format.JSON:
                file.write((b",\n" if seen else b"\n") + msgspec.json.encode(row))
            else:
                file.write(_csv([[_cell(getattr(row, field)) for field in FIELDS]]))
            seen.add(row.signature)
        if len(seen) >= MOST_ROWS:
            break
    file.write(b"\n]\n" if kind is Format.JSON else b"")
    return len(seen), len(seen) >= MOST_ROWS


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    """A value as a spreadsheet takes it: empty for unknown, and no text of a stranger as a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
