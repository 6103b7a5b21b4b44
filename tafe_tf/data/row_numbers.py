"""Sets of row numbers, a bit a row: a file of a hundred million rows takes 12 MB."""

from __future__ import annotations

from collections.abc import Iterator


class RowNumbers:
    """A set of the numbers of rows in one file.

    Its memory is a bit for each row up to the largest number, however many rows it holds: where a
    third of all rows is repaired, a set of Python's own takes hundreds of times as much.

    Example:
        >>> rows = RowNumbers()
        >>> for row in (3, 9, 3):
        ...     rows.add(row)
        >>> len(rows), list(rows)
        (2, [3, 9])
    """

    def __init__(self) -> None:
        self._bits = bytearray()
        self._count = 0

    def add(self, row: int) -> None:
        """Adds the number of a row, 0 or more; one that is there stays."""
        place, bit = divmod(row, 8)
        missing = place + 1 - len(self._bits)
        if missing > 0:
            doubled = max(missing, len(self._bits))  # so that adding in order stays cheap
            self._bits.extend(bytes(doubled))
        if row not in self:
            self._count += 1
            self._bits[place] |= 1 << bit

    def __contains__(self, row: int) -> bool:
        place, bit = divmod(row, 8)
        return place < len(self._bits) and bool(self._bits[place] >> bit & 1)

    def __or__(self, other: RowNumbers) -> RowNumbers:
        """The numbers of both."""
        union = RowNumbers()
        both = self._number() | other._number()
        size = max(len(self._bits), len(other._bits))
        union._bits = bytearray(both.to_bytes(size, "little"))
        union._count = both.bit_count()
        return union

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        for place, byte in enumerate(self._bits):
            for bit in range(8):
                if byte >> bit & 1:
                    yield 8 * place + bit

    def _number(self) -> int:
        """All bits as one number."""
        return int.from_bytes(self._bits, "little")
