"""Rows of Parquet files, read group by group: columns of numbers, or a column of encoded images."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gencheck.errors import InputError, needing
from gencheck.load.files import listed, reading
from gencheck.load.images import decode_image
from gencheck.load.split import Array, Chosen, Names, Resizing, Rows
from gencheck.load.table import filled
from gencheck.memory import require_memory

TARGET_COLUMNS = ("label", "y", "target")

_REQUIRED = "a .parquet file"

# Rows of images that are looked at together; of numbers many more are no larger.
_BATCH = 8192

# A position of eight bytes for each row, and their shuffled order.
_POSITION_BYTES = 16


def parquet_rows(path: Path, x_key: str | None, y_key: str | None) -> Rows:
    """The rows of a Parquet file, none of them read yet.

    Parameters
    ----------
    x_key, y_key
        The feature columns, separated by commas, or the image column (default: all but the target);
        the target column (default: ``label``, ``y`` or ``target``).

    Raises
    ------
    InputError
        Damaged, or without such columns.
    MissingDependency
        pyarrow is not installed.
    """
    with needing("pyarrow", f"Reading {path}"):
        import pyarrow.parquet as pq
    with reading(path, _REQUIRED):
        file = pq.ParquetFile(path)
        schema, count = file.schema_arrow, file.metadata.num_rows
    require_memory(_POSITION_BYTES * count, str(path), f"the positions of {count} rows")
    target, features, image = _chosen_columns(path, schema, x_key, y_key)
    if count == 0:
        raise InputError(where=str(path), found="no rows", required="at least one")

    def read(positions: Array, resize: Resizing | None) -> Chosen:
        # once in batches, once as columns, once as items
        wanted = 3 * 8 * len(positions) * (len(features) + 1)
        require_memory(wanted, str(path), f"{len(positions)} rows of {len(features)} features")
        with reading(path, _REQUIRED):
            rows = _BATCH if image is not None else 16 * _BATCH
            parts = list(_parts(path, [*features, target], positions, rows))
        columns = {
            name: np.concatenate([_plain(part, name, path) for part in parts])
            for name in (*features, target)
        }
        numbers(columns[target], path, target, positions)
        if image is not None:
            return _images(
                columns[image], columns[target], f"{path}, column {image!r}", positions, resize
            )
        for name in features:
            numbers(columns[name], path, name, positions)
        items = np.stack([columns[name] for name in features], axis=1)
        if resize is not None:
            items = np.stack([resize(item, str(path)) for item in items])
        return Chosen(items, columns[target])

    classes = class_names(schema.metadata, target)
    return Rows(read, str(path), np.arange(count), Names({}, classes) if classes else None)


def class_names(metadata: Mapping[bytes, bytes] | None, target: str) -> tuple[str, ...]:
    """The names of the classes that `target` numbers, as Hugging Face datasets note them in a schema.

    Under the key ``huggingface``: ``{"info": {"features": {target: {"_type": "ClassLabel", "names":
    […]}}}}``. Empty where that is not there or of another form.
    """
    try:
        step: Any = json.loads((metadata or {}).get(b"huggingface", b"null"))
        for key in ("info", "features", target):
            step = step[key]
        names = step["names"] if step["_type"] == "ClassLabel" else []
    except (ValueError, RecursionError, KeyError, TypeError, IndexError):
        return ()
    return tuple(names) if isinstance(names, list) and all(map(_is_text, names)) else ()


def _is_text(name: Any) -> bool:
    return isinstance(name, str)


def _chosen_columns(
    path: Path, schema: Any, x_key: str | None, y_key: str | None
) -> tuple[str, list[str], str | None]:
    """The target column, the feature columns, and the one of images where there is one."""
    names: list[str] = schema.names
    target = y_key or target_column(names, str(path))
    features = [n.strip() for n in x_key.split(",")] if x_key else _others(names, target)
    counts = Counter(names)
    for name in (*features, target):
        if counts[name] != 1:
            raise InputError(
                where=str(path),
                found=f"{counts[name]} columns {name!r} among {listed(names)}",
                required="one column of the name",
            )
    if not features:
        raise InputError(where=str(path), found="no feature column", required="at least one")
    images = [n for n in features if _is_image(schema.field(n).type)]
    if images and len(features) > 1:
        raise InputError(
            where=str(path),
            found=f"feature columns {listed(features)}, of which {images[0]!r} holds images",
            required="numbers alone, or one image column",
            remedy="Name the columns with --x-key.",
        )
    return target, features, images[0] if images else None


def _others(names: list[str], target: str) -> list[str]:
    return [name for name in names if name != target]


def target_column(names: list[str], where: str) -> str:
    """The one target column.

    Raises
    ------
    InputError
        There is none, or more than one.
    """
    present = [name for name in TARGET_COLUMNS if name in names]
    if len(present) != 1:
        raise InputError(
            where=where,
            found=f"{len(present)} target columns ({', '.join(present) or 'none'})",
            required=f"exactly one of {', '.join(TARGET_COLUMNS)}",
            remedy="Name it with --y-key.",
        )
    return present[0]


def _is_image(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _parts(path: Path, columns: list[str], positions: Array, rows: int) -> Iterator[Any]:
    """The chosen rows, batch after batch; `positions` increase."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    first = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        low, high = np.searchsorted(positions, [first, first + size])
        if low < high:
            start = first
            for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
                low, high = np.searchsorted(positions, [start, start + batch.num_rows])
                if low < high:
                    chosen = pa.array(positions[low:high] - start)
                    yield batch.take(chosen), positions[low:high]
                start += batch.num_rows
        first += size


def _plain(part: Any, name: str, path: Path) -> Array:
    batch, positions = part
    return filled(batch.column(batch.schema.get_field_index(name)), path, name, positions)


def numbers(column: Array, path: Path, name: str, positions: Array) -> None:
    """Do nothing where a column holds finite numbers.

    Raises
    ------
    InputError
        Names the first row of the file that does not.
    """
    if column.dtype.kind not in "biuf":
        raise InputError(
            where=f"{path}, column {name!r}",
            found=f"text such as {str(column[0])!r}" if len(column) else "text",
            required="numbers",
            remedy="Leave the column out with --x-key, or encode it as numbers.",
        )
    bad = np.flatnonzero(~np.isfinite(column))
    if len(bad):
        raise InputError(
            where=f"{path}, column {name!r}, index [{int(positions[bad[0]])}]",
            found=str(column[bad[0]]),
            required="finite numbers",
            remedy="Remove or repair the item.",
        )


def _images(
    cells: Array, targets: Array, where: str, positions: Array, resize: Resizing | None
) -> Chosen:
    """The images of a column, each decoded and resized by itself, with the names of their files."""
    images: list[Array] = []
    notes: list[str] = []
    files: dict[int, str] = {}
    for position, cell in zip(positions.tolist(), cells.tolist(), strict=True):
        raw, name = (
            (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        )
        at = f"{where}, row {position}"
        if not isinstance(raw, bytes):
            raise InputError(where=at, found="no bytes", required="the bytes of an encoded image")
        image, note = decode_image(raw, at)
        images.append(image if resize is None else resize(image, at))
        notes += [note] if note and note not in notes else []
        if isinstance(name, str) and name:
            files[position] = name
    return Chosen(images, targets, tuple(notes), files)
