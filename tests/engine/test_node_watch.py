"""Operators read in the event log which endpoint is not used, and why."""

from __future__ import annotations

from dataclasses import replace

from engine.chain.port import EndpointReport

LIAR = EndpointReport("rpc.example", "ok", "", 9, 0, 0, 900, 2_000, 500, 500)


def lines(rig) -> list[tuple[str, str]]:
    return [(event.level.value, event.text) for event in rig.parts.events.latest(9)]


async def test_a_node_that_lies_is_told_once_with_what_it_said_and_once_when_it_is_used_again(
    rig, monkeypatch
):
    reports = [LIAR]
    monkeypatch.setattr(rig.chain, "endpoints", lambda: reports)
    rig.parts.nodes.look()
    before = lines(rig)
    reports[:] = [
        replace(LIAR, state="distrusted", why="not believed: it told block height 7\x1b[2J after 900")
    ]
    rig.parts.nodes.look()
    rig.parts.nodes.look()
    told = "rpc rpc.example is not used, distrusted: not believed: it told block height 7 after 900"
    assert lines(rig) == [*before, ("attention", told)]
    reports[:] = [LIAR]
    rig.parts.nodes.look()
    rig.parts.nodes.look()
    assert lines(rig)[-1] == ("info", "rpc rpc.example is used again")
    assert len(lines(rig)) == len(before) + 2


async def test_nodes_that_contradict_each_other_are_an_alarm_that_is_raised_once(rig, monkeypatch):
    monkeypatch.setattr(
        rig.chain, "disputes", lambda: ["a.example and b.example contradict each other about 5Kx…"]
    )
    before = lines(rig)
    rig.parts.nodes.look()
    rig.parts.nodes.look()
    assert lines(rig) == [
        *before,
        ("danger", "held, a.example and b.example contradict each other about 5Kx…"),
    ]
    assert "held until they agree: a.example" in " ".join(rig.parts.snapshots.take().engine.degraded)
