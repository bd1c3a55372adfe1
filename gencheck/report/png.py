"""Pictures of items as PNG, without a library."""

import struct
import zlib
from base64 import b64encode

from gencheck.audit.item_picture import ItemPicture

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# The colour type of a picture, by its channels.
_COLOUR = {1: 0, 3: 2}


def png(picture: ItemPicture) -> bytes:
    """A picture of 8 bits a channel as a PNG file, rows unfiltered (PNG, third edition, section 5)."""
    size = struct.pack(">II", picture.width, picture.height)
    # 8 bits; the one method of compression and of filtering; not interlaced
    header = size + bytes((8, _COLOUR[picture.channels], 0, 0, 0))
    length = picture.width * picture.channels
    rows = (picture.pixels[at : at + length] for at in range(0, len(picture.pixels), length))
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def data_uri(picture: ItemPicture) -> str:
    """The PNG file of a picture as an address that holds it whole."""
    return f"data:image/png;base64,{b64encode(png(picture)).decode('ascii')}"


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
