"""Inspect's evaluation logs: `.eval` archives and `.json`."""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from gencheck.errors import InputError, needing
from gencheck.load.item_scores import ItemScores, ScoreKeys
from gencheck.load.json_lines import Record, json_object
from gencheck.load.logs import ScoreRows, score_of

# The number that zip files give zstandard.
_ZSTANDARD = 93


def inspect_scores(path: Path, keys: ScoreKeys) -> list[ItemScores]:
    """An Inspect log, `.eval` or `.json`: the scorer `keys.score_key`, or the only one.

    C, I, P and N are 1, 0, ½ and 0, as Inspect itself has it. Every epoch of a sample is an item of
    the sample's id.

    Raises
    ------
    InputError
        The run did not succeed, a sample has no score, or the log is damaged.
    """
    header, samples = _inspect_parts(path)
    status = header.get("status")
    if status != "success":
        raise InputError(
            where=str(path),
            found=f"a run that ended with the status {status!r}",
            required="one that succeeded",
            remedy="Items that are missing because they failed would make the score look better.",
        )
    about = header.get("eval") or {}
    task, model = str(about.get("task", path.stem)), str(about.get("model", path.parent.name))
    rows = ScoreRows(str(path))
    for sample in samples:
        at = f"{path}, sample {sample.get('id')!r}, epoch {sample.get('epoch', 1)}"
        key, value = _inspect_value(sample, keys.score_key, at)
        rows.add(sample, score_of(value, at, key), f"{task}/{sample.get('id')}", keys, at)
    return [rows.finished(model, task, keys)]


def _inspect_value(sample: Record, asked: str | None, at: str) -> tuple[str, Any]:
    scores = sample.get("scores") or {}
    scorer, _, part = (asked or "").partition("/")
    if not scorer:
        if len(scores) != 1:
            raise InputError(
                where=at,
                found=f"the scorers {', '.join(scores) or 'of no name'}",
                required="the one to bound: --score-key SCORER",
            )
        scorer = next(iter(scores))
    if not isinstance(scores.get(scorer), dict):
        raise InputError(
            where=at,
            found=f"no score of {scorer!r} (of {', '.join(scores) or 'none'})",
            required="a score of every sample",
        )
    value = scores[scorer].get("value")
    if isinstance(value, dict) and part:
        value = value.get(part)
    return scorer, value


def _inspect_parts(path: Path) -> tuple[Record, Iterable[Record]]:
    if path.suffix == ".json":
        log = json_object(path.read_bytes(), str(path))
        return log, log.get("samples") or []
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            header = _member(archive, path, "header.json") if "header.json" in names else {}
            samples = [
                _member(archive, path, name)
                for name in sorted(names)
                if name.startswith("samples/")
            ]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InputError(
            where=str(path),
            found=f"a damaged archive ({error})",
            required="a log that Inspect finished",
        ) from error
    return header or {"status": "started"}, samples


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> Record:
    entry = archive.getinfo(name)
    if entry.compress_type != _ZSTANDARD:
        return json_object(archive.read(name), f"{path}, {name}")
    assert archive.fp is not None
    return json_object(_zstandard(archive.fp, entry, path), f"{path}, {name}")


def _zstandard(handle: IO[bytes], entry: zipfile.ZipInfo, path: Path) -> bytes:
    """The content of a member that Python's own zipfile cannot unpack."""
    with needing("pyarrow", f"Unpacking {path} (zstandard)"):
        import pyarrow as pa
    # the local header: 30 bytes, then a name and extra fields of lengths that it states
    handle.seek(entry.header_offset)
    head = handle.read(30)
    handle.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), 1)
    packed = handle.read(entry.compress_size)
    try:
        content = pa.Codec("zstd").decompress(packed, decompressed_size=entry.file_size)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            where=f"{path}, {entry.filename}",
            found=f"a damaged member ({error})",
            required="a log that Inspect finished",
        ) from error
    unpacked: bytes = content.to_pybytes()
    if zlib.crc32(unpacked) != entry.CRC:
        raise InputError(
            where=f"{path}, {entry.filename}",
            found="a member whose checksum is another",
            required="a log that Inspect finished",
        )
    return unpacked
