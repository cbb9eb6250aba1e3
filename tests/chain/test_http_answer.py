"""One HTTP answer out of bytes that come as they like: whole, cut anywhere, too long, or no answer at all."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chain.http_answer import LONGEST_HEAD, AnswerReader, BadAnswer, HttpAnswer

BODY = b'{"jsonrpc":"2.0","id":1,"result":"sig"}'
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nServer: x\r\n\r\n"
    b"9\r\n" + BODY[:9] + b"\r\n%X ; note=1\r\n" % len(BODY[9:]) + BODY[9:] + b"\r\n0\r\nDate: today\r\n\r\n"
)
AFTER_AN_INTERIM_ONE = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + PLAIN
WHOLE = [PLAIN, CHUNKED, AFTER_AN_INTERIM_ONE]


def read(data: bytes, longest: int = 1000) -> HttpAnswer | None:
    return AnswerReader(longest).feed(data)


@pytest.mark.parametrize("whole", WHOLE)
@given(cuts=st.lists(st.integers(0, 400), max_size=12))
def test_however_it_is_cut_the_answer_is_the_same_and_comes_with_its_last_byte(whole, cuts):
    reader = AnswerReader(1000)
    places = sorted({min(cut, len(whole) - 1) for cut in cuts} | {0, len(whole)})
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    answers = [reader.feed(piece) for piece in pieces]
    assert answers[:-1] == [None] * (len(pieces) - 1)
    assert answers[-1] is not None
    assert (answers[-1].status, answers[-1].body, answers[-1].keeps_alive) == (200, BODY, True)


@pytest.mark.parametrize("whole", WHOLE)
def test_the_end_of_the_connection_does_not_make_a_whole_of_a_part(whole):
    for length in range(len(whole)):
        reader = AnswerReader(1000)
        assert reader.feed(whole[:length]) is None
        assert reader.end() is None


def test_an_answer_without_a_length_ends_with_the_connection():
    reader = AnswerReader(1000)
    assert reader.feed(b"HTTP/1.0 200 OK\r\n\r\n" + BODY[:5]) is None
    assert reader.feed(BODY[5:]) is None
    answer = reader.end()
    assert answer is not None
    assert (answer.body, answer.keeps_alive) == (BODY, False)


@pytest.mark.parametrize(
    ("head", "keeps_alive"),
    [
        (b"HTTP/1.1 204 No Content\r\n", True),
        (b"HTTP/1.1 204 No Content\r\nConnection: Close\r\n", False),
        (b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: 3\r\n", True),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\nconnection: keep-alive, close\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n", False),
    ],
)
def test_whether_the_connection_may_be_used_again_is_as_the_node_says(head, keeps_alive):
    chunked_end = b"0\r\n\r\n" if b"chunked" in head else b""
    answer = read(head + b"\r\n" + chunked_end)
    assert answer is not None
    assert answer.body == b""
    assert answer.keeps_alive is keeps_alive


@pytest.mark.parametrize(
    "nonsense",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: line\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % (b"9" * 400),
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 300,
        PLAIN + b"HTTP/1.1 200 OK\r\n",
        b"x" * (LONGEST_HEAD + 1),
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * LONGEST_HEAD,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 1001,
    ],
)
def test_what_is_no_answer_or_too_long_a_one_is_refused(nonsense):
    with pytest.raises(BadAnswer):
        read(nonsense)


def test_endless_chunks_are_cut_off():
    reader = AnswerReader(1000)
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(BadAnswer):
        for _ in range(200):
            reader.feed(b"10\r\n" + b"a" * 16 + b"\r\n")


def test_an_endless_trailer_is_cut_off():
    reader = AnswerReader(1000)
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    with pytest.raises(BadAnswer):
        for _ in range(LONGEST_HEAD):
            reader.feed(b"aaaa")


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_no_bytes_whatever_do_more_than_be_refused(pieces):
    for start in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        reader = AnswerReader(100)
        try:
            for piece in (start, *pieces):
                if reader.feed(piece) is not None:
                    break
            reader.end()
        except BadAnswer:
            pass
