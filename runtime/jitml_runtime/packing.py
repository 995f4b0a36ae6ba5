"""The binary form in which compiled programs are stored: numbers and byte strings, sealed by a
digest.

In: integers, texts, bytes, in some order. Out: bytes, from which they are read back in that order;
anything damaged, cut off or of another version is refused. Must not know what is stored.

Format (little-endian throughout). A sealed file is a header of 80 bytes and a payload:

    8 bytes   "jitml\\r\\n\\0"
    u32       version of the format
    u32       kind of the content
    24 bytes  key: what the content belongs to
    u64       bytes of the payload
    32 bytes  BLAKE2b digest of all that precedes and of the payload

A packed payload is u64 number of words, u64 number of strings, the words (i64), the sizes of the
strings (u64), their bytes. A text or byte string is a word that gives its position among the
strings.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

try:
    from _blake2 import blake2b  # hashlib would load OpenSSL for it
except ImportError:
    from hashlib import blake2b

VERSION = 1
KEY_BYTES = 24
_MAGIC = b"jitml\r\n\0"
_HEAD = struct.Struct(f"<8sII{KEY_BYTES}sQ")
_DIGEST_BYTES = 32
_COUNTS = struct.Struct("<QQ")


class FormatError(ValueError):
    """Stored bytes are not what they should be."""


def key_of(*parts: bytes) -> bytes:
    """The key of content that is determined by `parts`."""
    hashed = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        hashed.update(struct.pack("<Q", len(part)))
        hashed.update(part)
    return hashed.digest()


def seal(kind: int, key: bytes, payload: bytes) -> bytes:
    """A file of `payload`, with its header."""
    head = _HEAD.pack(_MAGIC, VERSION, kind, key, len(payload))
    return head + _digest(head, payload) + payload


def unseal(kind: int, data: bytes, key: bytes | None = None) -> bytes:
    """The payload of a sealed file; FormatError says what is wrong with it."""
    if len(data) < _HEAD.size + _DIGEST_BYTES or not data.startswith(_MAGIC):
        raise FormatError("it is no jitml file, or cut off")
    _, version, found_kind, found_key, size = _HEAD.unpack_from(data)
    if version != VERSION:
        raise FormatError(f"it has format {version}, this version of jitml_runtime reads {VERSION}")
    head, payload = data[: _HEAD.size], data[_HEAD.size + _DIGEST_BYTES :]
    if len(payload) != size:
        raise FormatError(f"it is damaged: {len(payload)} bytes of content, {size} expected")
    if data[_HEAD.size : _HEAD.size + _DIGEST_BYTES] != _digest(head, payload):
        raise FormatError("it is damaged: its content does not match its digest")
    if found_kind != kind or (key is not None and found_key != key):
        raise FormatError("it holds something else")
    return payload


def _digest(head: bytes, payload: bytes) -> bytes:
    hashed = blake2b(head, digest_size=_DIGEST_BYTES)
    hashed.update(payload)
    return hashed.digest()


class Packer:
    """Collects numbers and strings; `packed` gives them as bytes."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self._strings: dict[bytes, int] = {}

    def integer(self, number: int) -> None:
        """Add a number of 64 bits."""
        self._words.append(number)

    def integers(self, numbers: Iterable[int]) -> None:
        """Add some numbers, their count before them."""
        found = tuple(numbers)
        self._words.append(len(found))
        self._words.extend(found)

    def data(self, string: bytes) -> None:
        """Add a byte string; equal ones are stored once."""
        self._words.append(self._strings.setdefault(string, len(self._strings)))

    def text(self, string: str) -> None:
        """Add a text."""
        self.data(string.encode("utf-8", "surrogatepass"))

    def packed(self) -> bytes:
        """All that was added. Raises FormatError if a number has more than 64 bits."""
        words, strings = self._words, tuple(self._strings)
        try:
            body = struct.pack(f"<{len(words)}q", *words)
        except struct.error as error:
            raise FormatError(f"a number does not fit: {error}") from None
        sizes = struct.pack(f"<{len(strings)}Q", *map(len, strings))
        return b"".join([_COUNTS.pack(len(words), len(strings)), body, sizes, *strings])


class Unpacker:
    """Gives back what a `Packer` was given, in the same order; FormatError where it cannot."""

    def __init__(self, data: bytes) -> None:
        try:
            words, strings = _COUNTS.unpack_from(data)
            begin = _COUNTS.size + 8 * words
            end = begin + 8 * strings
            if end > len(data):
                raise FormatError("cut off")
            self._words: tuple[int, ...] = struct.unpack_from(f"<{words}q", data, _COUNTS.size)
            sizes = struct.unpack_from(f"<{strings}Q", data, begin)
        except struct.error as error:
            raise FormatError(f"cut off: {error}") from None
        self._strings: list[bytes] = []
        for size in sizes:
            self._strings.append(data[end : end + size])
            end += size
        if end != len(data):
            raise FormatError("the sizes of its strings are wrong")
        self._next = 0

    def integer(self) -> int:
        """The next number."""
        (number,) = self._take(1)
        return number

    def integers(self) -> tuple[int, ...]:
        """The next numbers, as many as were added together."""
        return self._take(self.integer())

    def data(self) -> bytes:
        """The next byte string."""
        number = self.integer()
        if not 0 <= number < len(self._strings):
            raise FormatError(f"there is no string {number}")
        return self._strings[number]

    def text(self) -> str:
        """The next text."""
        try:
            return self.data().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise FormatError(f"not a text: {error}") from None

    def count(self) -> int:
        """The next number, which says how many things follow."""
        number = self.integer()
        if not 0 <= number <= len(self._words):
            raise FormatError(f"{number} is no count")
        return number

    def _take(self, count: int) -> tuple[int, ...]:
        begin, self._next = self._next, self._next + count
        if count < 0 or self._next > len(self._words):
            raise FormatError("it ends too early")
        return self._words[begin : self._next]
