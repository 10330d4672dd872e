"""Columns of values as PostgreSQL arrays, in the binary format, each of one exact type.

Whole batches go to the server as one array per column (`unnest`). psycopg would choose an array's type by its
values (`int2[]` today, `int8[]` tomorrow, unknown when empty), and each choice would be another prepared
statement; and it would send bytes as hex. These wrappers say the type and send the bytes as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import pack
from typing import ClassVar, cast

from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

from flowrunner.ports.text import encode_text

_NULL = b"\xff\xff\xff\xff"
_BOOLS = (b"\0\0\0\1\0", b"\0\0\0\1\1")


class Column:
    """Values of one column, None for NULL. Subclasses say the types by their OIDs (catalog `pg_type`,
    fixed).
    """

    __slots__ = ("values",)
    oid: ClassVar[int]
    element: ClassVar[int]

    def __init__(self, values: Iterable[object]) -> None:
        self.values: Sequence[object] = list(values)

    def parts(self) -> Iterable[bytes]:
        """Each value as its length and its bytes."""
        raise NotImplementedError


class Texts(Column):
    oid, element = 1009, 25

    def parts(self) -> Iterable[bytes]:
        for value in self.values:
            raw = encode_text(str(value))
            yield pack(">i", len(raw)) + raw


class Bytes(Column):
    oid, element = 1001, 17

    def parts(self) -> Iterable[bytes]:
        for value in self.values:
            # A column of bytes is given bytes; `object` is for what the columns have in common.
            raw = cast("bytes | None", value)
            yield _NULL if raw is None else pack(">i", len(raw)) + raw


class Longs(Column):
    oid, element = 1016, 20

    def parts(self) -> Iterable[bytes]:
        for value in self.values:
            yield _NULL if value is None else pack(">iq", 8, value)


class Bools(Column):
    oid, element = 1000, 16

    def parts(self) -> Iterable[bytes]:
        return (_BOOLS[bool(value)] for value in self.values)


class _ColumnDumper(Dumper):
    format = Format.BINARY
    element = 0

    def dump(self, obj: Column) -> Buffer:
        """The wire format of `array_recv`: dimensions, NULLs there may be, element type; length and lower
        bound.
        """
        if not obj.values:
            return pack(">iiI", 0, 0, obj.element)
        return pack(">iiIii", 1, 1, obj.element, len(obj.values), 1) + b"".join(obj.parts())


def register(adapters: AdaptersMap) -> None:
    """Teach a connection the columns."""
    for column in (Texts, Bytes, Longs, Bools):
        adapters.register_dumper(
            column,
            type(f"{column.__name__}Dumper", (_ColumnDumper,), {"oid": column.oid, "element": column.element}),
        )
