"""A linker for one BPF object: turns what clang emits into the shared object that Solana's loader accepts.

The output has two loadable parts, `.text` and one read-only data section, every section at an address equal
to its file offset, and dynamic relocations of two kinds: R_BPF_64_RELATIVE for the addresses of constants and
R_BPF_64_32 for the runtime's system calls, which the loader finds by name.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQ")
_DYNAMIC = struct.Struct("<QQ")

_ELF_IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
_ET_REL, _ET_DYN, _EM_BPF = 1, 3, 247
_SHT_PROGBITS, _SHT_SYMTAB, _SHT_STRTAB, _SHT_DYNAMIC, _SHT_REL, _SHT_DYNSYM = 1, 2, 3, 6, 9, 11
_SHF_WRITE, _SHF_ALLOC, _SHF_EXEC = 1, 2, 4
_PT_LOAD, _PT_DYNAMIC = 1, 2
_PF_EXEC, _PF_READ = 1, 4
_DT_NULL, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT, _DT_REL, _DT_RELSZ, _DT_RELENT = (
    0,
    5,
    6,
    10,
    11,
    17,
    18,
    19,
)
_GLOBAL_NOTYPE, _GLOBAL_FUNCTION = 0x10, 0x12

_R_BPF_64_64, _R_BPF_64_RELATIVE, _R_BPF_64_32 = 1, 8, 10
_INSTRUCTION = 8
_UNDEFINED = 0


class LinkError(Exception):
    """The object uses something that Solana's loader has no place for; the message names it."""


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    kind: int
    flags: int
    data: bytes
    info: int
    link: int


@dataclass(frozen=True, slots=True)
class _Symbol:
    name: str
    section: int
    value: int


@dataclass(frozen=True, slots=True)
class _Object:
    sections: list[_Section]
    symbols: list[_Symbol]

    @property
    def text(self) -> int:
        """The index of the one section of code."""
        found = [i for i, section in enumerate(self.sections) if section.flags & _SHF_EXEC and section.data]
        if len(found) != 1 or self.sections[found[0]].name != ".text":
            raise LinkError("the object must have exactly one section of code, .text")
        return found[0]

    def relocations(self, target: int) -> list[tuple[int, int, _Symbol]]:
        """(offset, kind, symbol) of every relocation of a section."""
        return [
            (offset, info & 0xFFFFFFFF, self.symbols[info >> 32])
            for section in self.sections
            if section.kind == _SHT_REL and section.info == target
            for offset, info in _RELOCATION.iter_unpack(section.data)
        ]


def _text_at(table: bytes, offset: int) -> str:
    return table[offset : table.index(b"\0", offset)].decode()


def _read_object(raw: bytes) -> _Object:
    ident, kind, machine, *_, section_offset, _, _, _, _, _, count, names_index = _HEADER.unpack_from(raw)
    if ident[:7] != _ELF_IDENT[:7] or kind != _ET_REL or machine != _EM_BPF:
        raise LinkError("the input is no relocatable 64-bit little endian BPF object")
    headers = [_SECTION.unpack_from(raw, section_offset + i * _SECTION.size) for i in range(count)]
    names = raw[headers[names_index][4] : headers[names_index][4] + headers[names_index][5]]
    sections = [
        _Section(_text_at(names, name), kind, flags, raw[offset : offset + size], info, link)
        for name, kind, flags, _, offset, size, link, info, _, _ in headers
    ]
    symbols: list[_Symbol] = []
    for section in sections:
        if section.kind == _SHT_SYMTAB:
            strings = sections[section.link].data
            symbols = [
                _Symbol(_text_at(strings, name), index, value)
                for name, _, _, index, value, _ in _SYMBOL.iter_unpack(section.data)
            ]
    return _Object(sections, symbols)


def _align(data: bytes | bytearray, boundary: int = 8) -> bytes:
    return bytes(data) + bytes(-len(data) % boundary)


def _lay_out_constants(program: _Object, base: int) -> tuple[bytes, dict[int, int]]:
    """All read-only data in one run, and the address of each of its sections."""
    constants = b""
    addresses: dict[int, int] = {}
    for i, section in enumerate(program.sections):
        if not section.flags & _SHF_ALLOC or section.flags & _SHF_EXEC or not section.data:
            continue
        if section.flags & _SHF_WRITE or not section.name.startswith(".rodata"):
            raise LinkError(f"section {section.name} is writable: a program has no writable globals")
        if program.relocations(i):
            raise LinkError(f"section {section.name} holds pointers: constants may not")
        constants = _align(constants)
        addresses[i] = base + len(constants)
        constants += section.data
    return constants, addresses


class _Output:
    """The text being patched, with the dynamic symbols and relocations that the patches need."""

    def __init__(self, program: _Object, text_address: int) -> None:
        self.text = bytearray(program.sections[program.text].data)
        self.text_address = text_address
        self.strings = bytearray(b"\0")
        self.symbols = bytearray(_SYMBOL.size)
        self.relocations = bytearray()
        self._by_name: dict[str, int] = {}

    def symbol(self, name: str, kind: int, section: int = _UNDEFINED, value: int = 0) -> int:
        """The index of a dynamic symbol, added when it is new."""
        if name not in self._by_name:
            self._by_name[name] = len(self.symbols) // _SYMBOL.size
            self.symbols += _SYMBOL.pack(len(self.strings), kind, 0, section, value, 0)
            self.strings += name.encode() + b"\0"
        return self._by_name[name]

    def _immediate(self, offset: int) -> int:
        return int.from_bytes(self.text[offset + 4 : offset + 8], "little", signed=True)

    def _set_immediate(self, offset: int, value: int) -> None:
        self.text[offset + 4 : offset + 8] = value.to_bytes(4, "little", signed=True)

    def load_address(self, offset: int, section_address: int, symbol: _Symbol) -> None:
        """A two-slot load of a constant's address; the loader adds where it put the program."""
        self._set_immediate(offset, section_address + symbol.value + self._immediate(offset))
        self.relocations += _RELOCATION.pack(self.text_address + offset, _R_BPF_64_RELATIVE)

    def call_runtime(self, offset: int, symbol: _Symbol) -> None:
        """A system call: left open, for the loader to fill in by name."""
        if not symbol.name.startswith("sol_"):
            raise LinkError(f"the program calls {symbol.name}, which the runtime does not have")
        index = self.symbol(symbol.name, _GLOBAL_NOTYPE)
        self._set_immediate(offset, -1)
        self.relocations += _RELOCATION.pack(self.text_address + offset, index << 32 | _R_BPF_64_32)

    def call_function(self, offset: int, symbol: _Symbol) -> None:
        """A call inside the text, counted in instructions from the one after the call."""
        addend = 0 if symbol.name else (self._immediate(offset) + 1) * _INSTRUCTION
        self._set_immediate(offset, (symbol.value + addend - offset) // _INSTRUCTION - 1)


def _patch(program: _Object, output: _Output, addresses: dict[int, int]) -> None:
    text = program.text
    for offset, kind, symbol in program.relocations(text):
        if kind == _R_BPF_64_64 and symbol.section in addresses:
            output.load_address(offset, addresses[symbol.section], symbol)
        elif kind == _R_BPF_64_32 and symbol.section == _UNDEFINED:
            output.call_runtime(offset, symbol)
        elif kind == _R_BPF_64_32 and symbol.section == text:
            output.call_function(offset, symbol)
        else:
            raise LinkError(
                f"relocation {kind} against {symbol.name or 'a section'} has no place in a program"
            )


@dataclass(frozen=True, slots=True)
class _Part:
    """One section of the output; `link` and `entry_size` as ELF wants them of its kind."""

    name: str
    kind: int
    flags: int
    data: bytes
    link: int = 0
    entry_size: int = 0


_TEXT_ADDRESS = _HEADER.size + 3 * _SEGMENT.size  # a multiple of 8, as every address here
_DYNAMIC_SIZE = 8 * _DYNAMIC.size


def _dynamic(addresses: dict[str, int], output: _Output) -> bytes:
    entries = (
        (_DT_REL, addresses[".rel.dyn"]),
        (_DT_RELSZ, len(output.relocations)),
        (_DT_RELENT, _RELOCATION.size),
        (_DT_SYMTAB, addresses[".dynsym"]),
        (_DT_SYMENT, _SYMBOL.size),
        (_DT_STRTAB, addresses[".dynstr"]),
        (_DT_STRSZ, len(output.strings)),
        (_DT_NULL, 0),
    )
    return b"".join(_DYNAMIC.pack(*entry) for entry in entries)


def _parts(output: _Output, constants: bytes, dynamic: bytes) -> list[_Part]:
    parts = [
        _Part(".text", _SHT_PROGBITS, _SHF_ALLOC | _SHF_EXEC, bytes(output.text)),
        _Part(".rodata", _SHT_PROGBITS, _SHF_ALLOC, constants),
        _Part(".dynamic", _SHT_DYNAMIC, _SHF_ALLOC, dynamic, 5, _DYNAMIC.size),
        _Part(".dynsym", _SHT_DYNSYM, _SHF_ALLOC, bytes(output.symbols), 5, _SYMBOL.size),
        _Part(".dynstr", _SHT_STRTAB, _SHF_ALLOC, bytes(output.strings)),
        _Part(".rel.dyn", _SHT_REL, _SHF_ALLOC, bytes(output.relocations), 4, _RELOCATION.size),
    ]
    names = b"\0" + b"".join(part.name.encode() + b"\0" for part in parts) + b".shstrtab\0"
    return [*parts, _Part(".shstrtab", _SHT_STRTAB, 0, names)]


def _place(parts: list[_Part]) -> dict[str, int]:
    addresses = {}
    offset = _TEXT_ADDRESS
    for part in parts:
        addresses[part.name] = offset
        offset += len(_align(part.data))
    return addresses


def _section_headers(parts: list[_Part], addresses: dict[str, int]) -> bytes:
    headers = bytes(_SECTION.size)
    name_offset = 1
    for part in parts:
        address = addresses[part.name] if part.flags & _SHF_ALLOC else 0
        info = 1 if part.kind == _SHT_DYNSYM else 0
        headers += _SECTION.pack(
            name_offset, part.kind, part.flags, address, addresses[part.name], len(part.data),
            part.link, info, 8 if part.flags & _SHF_ALLOC else 1, part.entry_size,
        )  # fmt: skip
        name_offset += len(part.name) + 1
    return headers


def _segments(parts: list[_Part], addresses: dict[str, int]) -> bytes:
    text_size = len(parts[0].data)
    rest, end = addresses[".rodata"], addresses[".shstrtab"]
    ranges = (
        (_PT_LOAD, _PF_READ | _PF_EXEC, _TEXT_ADDRESS, text_size),
        (_PT_LOAD, _PF_READ, rest, end - rest),
        (_PT_DYNAMIC, _PF_READ, addresses[".dynamic"], _DYNAMIC_SIZE),
    )
    return b"".join(
        _SEGMENT.pack(kind, flags, start, start, start, size, size, 8) for kind, flags, start, size in ranges
    )


def link(raw: bytes, entry: str = "entrypoint") -> bytes:
    """Link one BPF object into a shared object for Solana's loader; raises LinkError."""
    program = _read_object(raw)
    output = _Output(program, _TEXT_ADDRESS)
    entries = [
        symbol for symbol in program.symbols if symbol.name == entry and symbol.section == program.text
    ]
    if not entries:
        raise LinkError(f"the object defines no function {entry}")
    entry_address = _TEXT_ADDRESS + entries[0].value
    output.symbol(entry, _GLOBAL_FUNCTION, 1, entry_address)
    constants, constant_addresses = _lay_out_constants(program, _TEXT_ADDRESS + len(_align(output.text)))
    _patch(program, output, constant_addresses)

    # The dynamic section's size is known before its contents, which are the addresses that it takes part in.
    addresses = _place(_parts(output, constants, bytes(_DYNAMIC_SIZE)))
    parts = _parts(output, constants, _dynamic(addresses, output))
    body = b"".join(_align(part.data) for part in parts)
    header = _HEADER.pack(
        _ELF_IDENT, _ET_DYN, _EM_BPF, 1, entry_address, _HEADER.size, _TEXT_ADDRESS + len(body), 0,
        _HEADER.size, _SEGMENT.size, 3, _SECTION.size, len(parts) + 1, len(parts),
    )  # fmt: skip
    head = _align(header + _segments(parts, addresses))
    return head + body + _section_headers(parts, addresses)
