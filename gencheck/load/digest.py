"""What identifies the content of a file or a folder."""

import hashlib
from pathlib import Path

from gencheck.load.files import require_file


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Of a folder: the SHA-256 of one line for each file below it, sorted by relative name: the file's
    own digest, a space, and that name with forward slashes.

    Raises
    ------
    InputError
        There is no such file or folder, or it is a pipe or a device, whose bytes are read once.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        lines = [f"{sha256_of(p)} {p.relative_to(path).as_posix()}\n" for p in files]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    require_file(path, "a file or a folder")
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
