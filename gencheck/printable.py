"""Text from users and their files, made plain for a terminal and for a document."""

from typing import Any


def printable(text: str, keep: str = "") -> str:
    r"""`text` with every character escaped that is no picture or space, except those in `keep`.

    Control characters, marks that turn the direction of writing, line separators and bytes of a
    file name that are no UTF-8 could rewrite what stands on the screen, or fail to be written.
    They come out as ``\x1b``, ``\u202e`` or ``\xff``.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char in keep or char.isprintable() or _is_space(char) else _escaped(char)
        for char in text
    )


def _is_space(char: str) -> bool:
    """A space of any width; the ends of lines and paragraphs are none."""
    return char.isspace() and ord(char) >= 0xA0 and char not in "\u2028\u2029"


def _escaped(char: str) -> str:
    # the operating system's bytes that are no UTF-8 come as the surrogates U+DC80 to U+DCFF
    if 0xDC80 <= ord(char) <= 0xDCFF:
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def encodable(text: str) -> str:
    r"""`text` where UTF-8 can hold it; else its surrogates as ``\xff`` or ``\ud800``."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join(_escaped(c) if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    return text


def printable_document(value: Any) -> Any:
    """JSON data with every text in it, names of keys too, made `printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(key): printable_document(item) for key, item in value.items()}
    if isinstance(value, list):
        return [printable_document(item) for item in value]
    return value
