"""The keys that work on every screen; the stop key also in every dialog."""

from __future__ import annotations

from textual.binding import Binding, BindingType

EVERYWHERE: list[BindingType] = [
    Binding(
        "ctrl+e",
        "emergency_stop",
        "STOP",
        key_display="ctrl+e",
        priority=True,
        tooltip="emergency stop: at once, from anywhere, without asking",
        id="app.stop",
    ),
    Binding(
        "u",
        "resume",
        "Resume",
        tooltip="lift the stop: shows the checks, asks for a reason and a typed word",
        id="app.resume",
    ),
    Binding(
        "question_mark",
        "help",
        "Help",
        key_display="?",
        tooltip="every key, and the shapes",
        id="app.help",
    ),
    Binding(
        "K",
        "command",
        "Command",
        tooltip="take command where one console at a time may, or let it go; asks before it relieves another",
        id="app.command",
    ),
    Binding("p", "pause", "Pause", tooltip="hold the display still; the engine goes on", id="app.pause"),
    Binding(
        "plus,equals_sign",
        "rate(-1)",
        "Faster",
        show=False,
        key_display="+",
        tooltip="look at the engine more often",
        id="app.faster",
    ),
    Binding(
        "minus",
        "rate(1)",
        "Slower",
        show=False,
        key_display="-",
        tooltip="look at the engine less often",
        id="app.slower",
    ),
    Binding(
        "ctrl+p",
        "command_palette",
        "Commands",
        tooltip="every command by its name",
        id="app.palette",
        priority=True,
    ),
    Binding(
        "q,ctrl+c",
        "quit_dialog",
        "Quit",
        key_display="q",
        tooltip="asks whether the engine runs on",
        id="app.quit",
    ),
]
