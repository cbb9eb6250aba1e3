"""Reads the keyboard: whatever bytes a terminal sends, the console lives on, and its stop key is heard."""

from __future__ import annotations

import os
import selectors
from codecs import getincrementaldecoder

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

_PASTE_BEGINS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"
_READ_BYTES = 4_096
_BEAT_S = 0.1
# ctrl+e and ctrl+c, as terminals send them: pressed alone they are meant, whatever a paste has not ended.
_ALWAYS_KEYS = frozenset({"\x05", "\x03", "\x1b[101;5u", "\x1b[99;5u"})


class TypedText:
    """Turns what was read into text for Textual's parser.

    Bytes that are no UTF-8 are left out. A paste whose end never came would swallow every key from then on:
    the keys that stop and leave end it.
    """

    def __init__(self) -> None:
        self._decode = getincrementaldecoder("utf-8")(errors="ignore").decode
        self._tail = ""
        self._is_pasting = False

    def of(self, data: bytes) -> str:
        """The text of what was read at once."""
        text = self._decode(data)
        if self._is_pasting and text in _ALWAYS_KEYS:
            self._is_pasting, self._tail = False, ""
            return _PASTE_ENDS + text
        self._follow(text)
        return text

    def _follow(self, text: str) -> None:
        """Note whether a paste is open; its marks may come in pieces."""
        seen = self._tail + text
        begun, ended = seen.rfind(_PASTE_BEGINS), seen.rfind(_PASTE_ENDS)
        if begun != ended:
            self._is_pasting = begun > ended
        self._tail = seen[1 - len(_PASTE_BEGINS) :]


class ConsoleDriver(LinuxDriver):
    """Textual's driver, with a reader that no byte ends and whose faults are the console's own."""

    def run_input_thread(self) -> None:
        """Read keys until the app is done with its terminal, or the terminal is gone."""
        try:
            self._read_keys()
        except OSError:
            return  # the terminal is gone: who watches over it ends the console
        except Exception as error:
            self._app.call_later(self._app._handle_exception, error)

    def _read_keys(self) -> None:
        typed, parser = TypedText(), XTermParser(self._debug)
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                for _ in selector.select(_BEAT_S):
                    text = typed.of(os.read(self.fileno, _READ_BYTES))
                    # No text would tell the parser that there is no more to come.
                    for event in parser.feed(text) if text else ():
                        self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)
