"""The store's SQL, one statement per .sql file of this folder, called by the file's name."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def sql(name: str) -> str:
    """The statement in NAME.sql."""
    return files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8").strip()
