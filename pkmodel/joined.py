"""Parquet files joined by their bytes: row groups are copied as they are, and only the footer is written anew.

Decoding and encoding the parts of a large run again would cost more than computing them. A Parquet file is ``PAR1``,
row groups, a footer (Thrift, compact protocol), its length and ``PAR1``; row groups know where they lie, so joining
files means copying what lies between and moving those numbers. Formats: apache/parquet-format, ``parquet.thrift`` and
``README.md``; Apache Thrift, ``thrift-compact-protocol.md``.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pkmodel.whole import named

_MAGIC = b"PAR1"
#: Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
#: Fields by their numbers in parquet.thrift.
_NUM_ROWS, _ROW_GROUPS = 3, 4
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7
_CHUNK_OFFSET, _METADATA = 2, 3
_PAGES = (9, 10, 11)

#: A struct: its fields by number, each with its type.
Struct = dict[int, tuple[int, Any]]


def join(parts: Sequence[Path], out: Path) -> None:
    """Join Parquet files of one schema, none encrypted and without page indexes, in this order.

    One file is copied as it is. The bytes of the result depend on those of the parts and on nothing else.

    Raises ValueError where a part is no such file.
    """
    if len(parts) == 1:
        with named(out):
            shutil.copyfile(parts[0], out)
        return
    with named(out), out.open("wb") as stream:
        stream.write(_MAGIC)
        whole: Struct = {}
        groups: list[Struct] = []
        for part in parts:
            with part.open("rb") as source:
                footer, end = _footer_of(source, part)
                moved = stream.tell() - len(_MAGIC)
                for group in footer[_ROW_GROUPS][1][1]:
                    _move(group, moved)
                    group[_ORDINAL] = (_I16, len(groups))
                    groups.append(group)
                if whole:
                    whole[_NUM_ROWS] = (_I64, whole[_NUM_ROWS][1] + footer[_NUM_ROWS][1])
                else:
                    whole = footer
                source.seek(len(_MAGIC))
                _copy(source, stream, end - len(_MAGIC))
        whole[_ROW_GROUPS] = (_LIST, (_STRUCT, groups))
        text = bytearray()
        _write_struct(text, whole)
        stream.write(text + struct.pack("<I", len(text)) + _MAGIC)


def check(part: Path) -> None:
    """See whether a file has a head, a footer and what it says of itself. Raises ValueError or LookupError if not."""
    with part.open("rb") as source:
        _footer_of(source, part)


def _footer_of(source: Any, part: Path) -> tuple[Struct, int]:
    """The footer of a file, and where its row groups end."""
    size = source.seek(0, 2)
    source.seek(max(size - 8, 0))
    length, magic = struct.unpack("<I4s", source.read(8)) if size >= 12 else (0, b"")
    end = size - 8 - length
    if magic != _MAGIC or end < len(_MAGIC):
        raise ValueError(f"{part} is not a whole Parquet file")
    source.seek(end)
    footer, _ = _read_struct(source.read(length), 0)
    return footer, end


def _move(group: Struct, by: int) -> None:
    """Say that a row group lies ``by`` bytes further on."""

    def shift(fields: Struct, which: int) -> None:
        if which in fields and fields[which][1]:
            kind, place = fields[which]
            fields[which] = (kind, place + by)

    shift(group, _GROUP_OFFSET)
    for chunk in group[_COLUMNS][1][1]:
        shift(chunk, _CHUNK_OFFSET)
        for which in _PAGES:
            shift(chunk[_METADATA][1], which)


def _copy(source: Any, stream: Any, count: int) -> None:
    while count:
        piece = source.read(min(count, 1 << 22))
        stream.write(piece)
        count -= len(piece)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
        shift += 7


def _read(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    """A value of a type, and where it ends."""
    if kind in (_I16, _I32, _I64):
        value, at = _varint(data, at)
        return (value >> 1) ^ -(value & 1), at
    if kind == _BINARY:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind in (_LIST, _SET):
        head, at = data[at], at + 1
        count, inner = head >> 4, head & 0x0F
        if count == 15:
            count, at = _varint(data, at)
        items = []
        for _ in range(count):
            item, at = _read(data, at, inner)
            items.append(item)
        return (inner, items), at
    if kind == _STRUCT:
        return _read_struct(data, at)
    if kind in (_TRUE, _FALSE, _BYTE):  # of a list, where each has a byte
        return data[at : at + 1], at + 1
    if kind == _DOUBLE:
        return data[at : at + 8], at + 8
    raise ValueError(f"type {kind} in the footer of a Parquet file")


def _read_struct(data: bytes, at: int) -> tuple[Struct, int]:
    fields: Struct = {}
    number = 0
    while (head := data[at]) != 0:
        at += 1
        kind = head & 0x0F
        if head >> 4:
            number += head >> 4
        else:
            raw, at = _varint(data, at)
            number = (raw >> 1) ^ -(raw & 1)
        value: Any = None  # a field that is true or false is all in its type
        if kind not in (_TRUE, _FALSE):
            value, at = _read(data, at, kind)
        fields[number] = (kind, value)
    return fields, at + 1


def _put_varint(text: bytearray, value: int) -> None:
    while value >= 0x80:
        text.append(value & 0x7F | 0x80)
        value >>= 7
    text.append(value)


def _write(text: bytearray, kind: int, value: Any) -> None:
    if kind in (_I16, _I32, _I64):
        _put_varint(text, value << 1 if value >= 0 else (-value << 1) - 1)
    elif kind == _BINARY:
        _put_varint(text, len(value))
        text += value
    elif kind in (_LIST, _SET):
        inner, items = value
        if len(items) < 15:
            text.append(len(items) << 4 | inner)
        else:
            text.append(0xF0 | inner)
            _put_varint(text, len(items))
        for item in items:
            _write(text, inner, item)
    elif kind == _STRUCT:
        _write_struct(text, value)
    else:
        text += value


def _write_struct(text: bytearray, fields: Struct) -> None:
    before = 0
    for number, (kind, value) in sorted(fields.items()):
        if 0 < number - before < 16:
            text.append((number - before) << 4 | kind)
        else:
            text.append(kind)
            _put_varint(text, number << 1)
        before = number
        if kind not in (_TRUE, _FALSE):
            _write(text, kind, value)
    text.append(0)
