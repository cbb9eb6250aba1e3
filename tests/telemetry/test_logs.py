"""The log is one clean line per event, whoever wrote the text, and holds no credentials."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import structlog

from engine.telemetry.logs import configure_logging
from engine.telemetry.redaction import without_credentials


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged in the test, at level info."""
    stream = io.StringIO()
    kept = logging.getLogger().handlers[:], logging.getLogger().level
    configure_logging("info", stream)
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers[:], _ = kept[0], logging.getLogger().setLevel(kept[1])


def test_an_event_is_one_line_of_pairs_that_begins_with_its_time(log: io.StringIO) -> None:
    structlog.get_logger().info("price arrived", symbol="SOL/USD", price_e6=92_410_000, age_s=0.3, note=None)
    line = log.getvalue()
    assert line.startswith("time=2")
    assert line.endswith(
        ' level=info event="price arrived" symbol=SOL/USD price_e6=92410000 age_s=0.3 note=\n'
    )


def test_hostile_text_can_neither_start_a_line_nor_reach_the_terminal(log: io.StringIO) -> None:
    hostile = "\x1b]52;c;ZXZpbA==\x07\x1b[2Jboo\r\nlevel=error event=forged\u202e"
    structlog.get_logger().warning("node said", said=hostile, raw=hostile.encode())
    logging.getLogger("library").warning("library heard %s", hostile)
    lines = log.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() and line.startswith("time=") for line in lines)
    assert "boo level=error event=forged" in lines[0]


def test_an_error_carries_the_word_that_operators_search_for(log: io.StringIO) -> None:
    structlog.get_logger().error("it broke", why="reason")
    logging.getLogger("library").critical("the library broke")
    structlog.get_logger().warning("it may break")
    first, second, third = log.getvalue().splitlines()
    assert ' level=error severity=ERROR event="it broke" why=reason' in first
    assert " level=critical severity=ERROR " in second
    assert "ERROR" not in third


@pytest.mark.parametrize("is_journal", [True, False])
def test_lines_begin_with_their_priority_where_stderr_is_the_journal(
    is_journal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    with (tmp_path / "journal").open("w+") as file:
        status = os.fstat(file.fileno())
        inode = status.st_ino if is_journal else status.st_ino + 1
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{inode}")
        configure_logging("debug", file)
        for level in ("debug", "info", "warning", "error", "critical"):
            getattr(structlog.get_logger(), level)("event")
        logging.getLogger("library").error("event")
        file.seek(0)
        begins = [line[:3] for line in file.read().splitlines()]
    told = ["<7>", "<6>", "<4>", "<3>", "<2>", "<3>"]
    assert begins == (told if is_journal else ["tim"] * 6)


def test_json_has_the_same_in_the_same_order(log: io.StringIO) -> None:
    configure_logging("info", log, as_json=True)
    structlog.get_logger().error("price\narrived", symbol="SOL/USD", price_e6=92_410_000, note=None)
    line = json.loads(log.getvalue())
    assert list(line) == ["time", "level", "severity", "event", "symbol", "price_e6", "note"]
    assert (line["event"], line["price_e6"], line["note"]) == ("price arrived", 92_410_000, None)


def test_a_very_long_value_is_cut(log: io.StringIO) -> None:
    structlog.get_logger().info("long", value="x" * 1_000_000)
    assert len(log.getvalue()) < 700


def test_levels_below_the_chosen_one_and_libraries_below_warning_are_silent(log: io.StringIO) -> None:
    structlog.get_logger().debug("fine detail")
    logging.getLogger("httpx").info("HTTP Request: POST https://node/v2/KEY")
    assert log.getvalue() == ""
    configure_logging("debug", log)
    structlog.get_logger().debug("fine detail")
    logging.getLogger("httpx").info("HTTP Request: POST https://node/v2/KEY")
    assert "fine detail" in log.getvalue()
    assert "HTTP Request" not in log.getvalue()


def test_an_exception_is_named_with_its_place_and_without_its_locals(log: io.StringIO) -> None:
    def fault() -> None:
        password = "hunter2"
        raise ValueError(f"refused {len(password)}")

    try:
        fault()
    except ValueError:
        structlog.get_logger().error("it broke", exc_info=True)
        logging.getLogger("library").exception("the library broke")
    lines = log.getvalue().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert 'error="ValueError: refused 7"' in line
        assert "at=test_logs.py:" in line or 'at="test_logs.py:' in line
    assert "hunter2" not in log.getvalue()


def test_credentials_in_urls_are_cut_wherever_they_are_logged(log: io.StringIO) -> None:
    structlog.get_logger().info(
        "connecting",
        rpc="https://node.example/v2/PROVIDERKEY",
        dsn="postgresql://liquidation:hunter2@db:5432/liquidation_db?sslmode=require",
    )
    logging.getLogger("library").error(
        "cannot reach wss://user:hunter2@node.example/?api-key=PROVIDERKEY now"
    )
    text = log.getvalue()
    assert "hunter2" not in text
    assert "PROVIDERKEY" not in text
    assert "rpc=https://node.example/… dsn=postgresql://db:5432/…" in text


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("http://127.0.0.1:8899", "http://127.0.0.1:8899"),
        ("http://127.0.0.1:8899/", "http://127.0.0.1:8899/"),
        ("see https://a.b/c#d.", "see https://a.b/…"),
        ("HTTPS://U:P@A.B?x=1", "HTTPS://A.B/…"),
        ("postgresql://me@/db?host=/run/pg", "postgresql:///…"),
        ("https://u:p@a@b/", "https://b/"),
        ("two: ws://x/1 and ws://y/2", "two: ws://x/… and ws://y/…"),
        ("no address", "no address"),
    ],
)
def test_a_url_keeps_its_scheme_host_and_port_only(text: str, cut: str) -> None:
    assert without_credentials(text) == cut


LOG_AND_GO_ON = """
import os, structlog
from engine.telemetry.logs import configure_logging
configure_logging("info")
{before}
structlog.get_logger().info("x" * 100_000)
print("still here")
"""


def _log_and_go_on(stderr: IO[str] | None, before: str = "") -> tuple[int, bytes]:
    """Status and output of a program whose Python keeps what it could not write, unless it is told not to."""
    keeps = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    answer = subprocess.run(
        [sys.executable, "-c", LOG_AND_GO_ON.format(before=before)],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=keeps,
        timeout=30,
        check=False,
    )
    return answer.returncode, answer.stdout


def test_a_full_disk_does_not_stop_the_program() -> None:
    with Path("/dev/full").open("w") as full:
        assert _log_and_go_on(full) == (0, b"still here\n")


def test_a_closed_log_does_not_stop_the_program() -> None:
    assert _log_and_go_on(None, before="os.close(2)") == (0, b"still here\n")


def test_a_program_that_was_started_without_a_log_goes_on() -> None:
    answer = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, LOG_AND_GO_ON.format(before="")],
        stdout=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (0, b"still here\n")
