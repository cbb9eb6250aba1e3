"""Server-sent events, whole or in pieces, hostile or not, always within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.oracle.sse import MAX_EVENT_BYTES, Event, EventReader, EventTooLong


def events(*chunks: bytes) -> list[Event]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data:{}\n\n", [Event(b"message", b"{}")]),
        (b"data: {}\r\n\r\n", [Event(b"message", b"{}")]),
        (b"data:a\ndata:b\n\n", [Event(b"message", b"a\nb")]),
        (b"event:error\ndata:over (24h)\n\n", [Event(b"error", b"over (24h)")]),
        (b":\n\n:keep-alive\n\n", []),
        (b"id:7\nretry:9\n\n", []),
        (b"event:error\n\ndata:x\n\n", [Event(b"message", b"x")]),  # a name without data names nothing later
        (b"data\n\n", [Event(b"message", b"")]),
        (b"data:truncat", []),
        (b"data:truncated\n", []),
        (b"\n\n\n", []),
        (b"nonsense\n\xff\xfe:\n\n", []),
    ],
)
def test_events_are_what_their_lines_say(stream, expected):
    assert events(stream) == expected


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"data:x\n", b"\n", b"event:e\r\n"]), max_size=30))
def test_how_a_stream_is_cut_into_pieces_changes_nothing(pieces):
    whole = b"".join(pieces)
    assert events(whole) == events(*pieces) == events(*(bytes([byte]) for byte in whole))


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"data:" + b"x" * 65_536 + b"\n"])
def test_a_line_or_an_event_without_an_end_ends_the_stream_and_not_our_memory(piece):
    reader = EventReader()
    with pytest.raises(EventTooLong):
        for _ in range(2 * MAX_EVENT_BYTES // len(piece)):
            reader.feed(piece)


def test_many_small_events_are_no_long_one():
    reader = EventReader()
    told = sum(len(reader.feed(b"data:" + b"x" * 1_000 + b"\n\n")) for _ in range(2_000))
    assert told == 2_000
