"""Content codings: the agent asks for none, and understands gzip from a proxy that compresses all the same."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from clientagent.exchange import NotTheServer

PIECE_BYTES = 512 << 10  # decoded at a time, however small the coded bytes are
GZIP = ("gzip", "x-gzip")


def named(headers: Mapping[str, str]) -> str:
    """The content coding of an answer; empty if it has none."""
    coding = headers.get("content-encoding", "").strip().lower()
    return "" if coding == "identity" else coding


class Decoder:
    """Decodes a body piece by piece. Raises NotTheServer for a coding other than gzip."""

    def __init__(self, coding: str) -> None:
        if coding and coding not in GZIP:
            raise NotTheServer(
                f"something on the way compresses its answers ({coding[:20]!r}), which was not asked for"
            )
        self._zlib = zlib.decompressobj(wbits=31) if coding else None

    def pieces(self, coded: bytes) -> Iterator[bytes]:
        """The plain bytes of the next part of the body. Raises NotTheServer if they are no gzip."""
        if self._zlib is None:
            yield coded
            return
        more = True
        while more:
            try:
                piece = self._zlib.decompress(coded, PIECE_BYTES)
            except zlib.error:
                raise NotTheServer("something on the way compresses its answers, and damages them") from None
            coded = self._zlib.unconsumed_tail
            more = bool(coded) or len(piece) == PIECE_BYTES
            if piece:
                yield piece

    @property
    def is_cut(self) -> bool:
        """Whether the coded body has not come to its end."""
        return self._zlib is not None and not self._zlib.eof
