"""Alerts and versions: each is told once, danger rings, and the banner counts what nobody acknowledged."""

from __future__ import annotations

import msgspec
import pytest
import snapshots
from consoles import Console
from peer import Peer

from engine import __version__
from engine.api import wire
from tui.announcements import Announcer


def alert(number: int, severity: str = "warning", **changes: object) -> wire.AlertRow:
    row = wire.AlertRow(
        id=str(number), rule="node_behind", severity=severity, text=f"trouble {number}", since_ns=1
    )
    return msgspec.structs.replace(row, **changes)


def with_alerts(*rows: wire.AlertRow, **engine: object) -> wire.Snapshot:
    taken = snapshots.snapshot()
    view = msgspec.structs.replace(taken.engine, started_at_ns=1, **engine)
    return msgspec.structs.replace(taken, alerts=list(rows), engine=view)


def test_each_alert_is_told_once_and_danger_alone_rings() -> None:
    announcer = Announcer()
    (first,) = announcer.hear(with_alerts(alert(1)))
    assert (first.text, first.is_trouble, first.rings) == ("trouble 1", True, False)
    (second,) = announcer.hear(with_alerts(alert(1), alert(2, "danger")))
    assert (second.text, second.rings) == ("trouble 2", True)
    assert announcer.hear(with_alerts(alert(1), alert(2, "danger"))) == []
    assert announcer.hear(with_alerts()) == []
    assert len(announcer.hear(with_alerts(alert(3)))) == 1


def test_an_alert_that_somebody_acknowledged_is_not_told() -> None:
    assert Announcer().hear(with_alerts(alert(1, "danger", acknowledged_by="root", acknowledged_ns=2))) == []


def test_a_flood_is_told_in_four_notes() -> None:
    notes = Announcer().hear(with_alerts(*(alert(n) for n in range(12)), alert(99, "danger")))
    assert len(notes) == 4
    assert "10 more" in notes[-1].text
    assert notes[-1].rings


def test_an_engine_of_another_version_is_told_once_for_each_engine() -> None:
    announcer = Announcer()
    assert announcer.hear(with_alerts(version=__version__)) == []
    announcer = Announcer()
    (note,) = announcer.hear(with_alerts(version="9.9.9"))
    assert "9.9.9" in note.text
    assert __version__ in note.text
    assert announcer.hear(with_alerts(version="9.9.9")) == []


async def test_the_banner_counts_alerts_and_the_bell_rings_for_danger(
    console: Console, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rings: list[int] = []
    monkeypatch.setattr(console.app, "bell", lambda: rings.append(1))
    await peer.push(msgspec.structs.replace(peer.snapshot, alerts=[alert(1)]))
    await console.until(lambda: "▲ 1 alert " in console.banner())
    await console.says("trouble 1")
    assert rings == []
    await peer.push(msgspec.structs.replace(peer.snapshot, alerts=[alert(1), alert(2, "danger")]))
    await console.until(lambda: "✕ 2 alerts" in console.banner())
    await console.says("trouble 2")
    assert rings == [1]
    seen = [alert(1, acknowledged_ns=5), alert(2, "danger", acknowledged_ns=5)]
    await peer.push(msgspec.structs.replace(peer.snapshot, alerts=seen))
    await console.until(lambda: "· 2 alerts acknowledged" in console.banner())


async def test_the_banner_names_both_versions_when_they_differ(console: Console, peer: Peer) -> None:
    engine = msgspec.structs.replace(peer.snapshot.engine, version="9.9.9", started_at_ns=5)
    await peer.push(msgspec.structs.replace(peer.snapshot, engine=engine))
    await console.until(lambda: f"engine 9.9.9 ≠ console {__version__}" in console.banner())
