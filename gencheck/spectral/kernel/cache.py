"""Finished tiles of a Gram matrix on disk: what survives a kill, is checked before it is used."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gencheck.atomic import PARTIAL, make_folder, write_whole
from gencheck.errors import InputError
from gencheck.network.program import Collapse, Program
from gencheck.progress import Progress
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.tiles import Tile
from gencheck.version import __version__

_MAGIC = b"gencheck tile 1\n"

# Temporary files of runs that were killed are removed after so many seconds.
_STALE = 3600.0


def kernel_identity(program: Program, factors: Factors, settings: str) -> str:
    """A digest of everything that the Gram matrix depends on, to its last bit.

    That is the items' coordinates and gates themselves, the program, and how sums are split; so two
    runs share tiles exactly where they would compute the same ones.

    Parameters
    ----------
    settings
        The executor and how it cuts the items.
    """
    digest = hashlib.sha256()
    like = factors.items
    facts = [settings, __version__, torch.__version__, str(like.device.type), str(like.dtype)]
    facts += [str(n) for n in (torch.get_num_threads(), *like.shape)]
    digest.update("|".join(facts).encode())
    for node in program.maps:
        digest.update(f"{type(node).__name__} {node.cells} {node.bias} {node.sources}".encode())
        if isinstance(node, Collapse):
            for batch in node.batches:
                own = (batch.carrier, len(batch.columns), batch.repeat, batch.vocabulary)
                digest.update(" ".join(map(str, own)).encode())
                for index in (batch.at, batch.cells, *(c.index for c in batch.columns)):
                    digest.update(np.ascontiguousarray(index).data)
                for column in batch.columns:
                    digest.update(f"{column.node} {column.plane}".encode())
        else:
            digest.update(f"{node.windows}".encode())
    for key, plane in sorted(factors.planes.items()):
        digest.update(f"{key} {plane.width}".encode())
        _update(digest, plane.stored)
        if plane.slope is not None:
            _update(digest, plane.slope)
    _update(digest, like)
    return digest.hexdigest()


def _update(digest: Any, tensor: Tensor, rows: int = 1024) -> None:
    for part in (tensor if tensor.ndim > 1 else tensor[None]).split(rows):
        digest.update(part.contiguous().cpu().numpy())


class TileCache:
    """A folder of finished tiles.

    A tile is written to a temporary file that then takes its name, so a name always stands for a
    whole file, whoever writes at the same time. It carries its identity and a checksum of its
    numbers; one that does not match is reported, computed again and replaced.
    """

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self.folder, self.report = folder, report
        self.identity = ""
        self.reused = self.computed = self.rejected = 0
        make_folder(folder, "--cache")
        try:
            self._remove_stale()
        except OSError as error:
            raise _unusable(folder, error) from error

    def _remove_stale(self) -> None:
        for path in self.folder.glob(f"*{PARTIAL}"):
            try:
                if time.time() - path.stat().st_mtime > _STALE:
                    path.unlink()
            except FileNotFoundError:
                # another run was quicker
                continue

    def _path(self, tile: Tile) -> Path:
        rows, columns = tile.rows, tile.columns
        name = f"{rows.start}-{rows.stop}-{columns.start}-{columns.stop}"
        return self.folder / f"{self.identity[:32]}-{name}.tile"

    def _header(self, tile: Tile, block: Tensor, checksum: str) -> bytes:
        fields = {
            "identity": self.identity,
            "rows": [tile.rows.start, tile.rows.stop],
            "columns": [tile.columns.start, tile.columns.stop],
            "dtype": str(block.dtype),
            "sha256": checksum,
        }
        return json.dumps(fields, sort_keys=True).encode() + b"\n"

    def load(self, tile: Tile, block: Tensor) -> bool:
        """Fill `block` from the folder; False where there is no such tile or it is not sound."""
        path = self._path(tile)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unusable(path, error) from error
        start = raw.find(b"\n", len(_MAGIC)) + 1
        payload = memoryview(raw)[start:]
        checksum = hashlib.sha256(payload).hexdigest()
        if raw[:start] != _MAGIC + self._header(tile, block, checksum):
            self.report(f"{path}: a damaged or foreign tile; it is computed again")
            self.rejected += 1
            return False
        values = torch.frombuffer(bytearray(payload), dtype=block.dtype).view(tile.shape)
        block.copy_(values)
        self.reused += 1
        return True

    def read(self, tile: Tile, block: Tensor) -> None:
        """Fill `block` from a file that this run wrote or found sound.

        Raises
        ------
        InputError
            It is gone, or shorter than it was.
        """
        path = self._path(tile)
        values = block if block.device.type == "cpu" else torch.empty_like(block, device="cpu")
        payload = values.numpy().data.cast("B")
        try:
            with path.open("rb") as file:
                file.readline(), file.readline()
                found = file.readinto(payload)
        except OSError as error:
            raise _unusable(path, error) from error
        if found != len(payload):
            raise InputError(
                where=f"--cache, {path}",
                found=f"{found} bytes of a tile",
                required=f"the {len(payload)} that this run wrote: the folder was changed meanwhile",
                remedy="Run the same command again, with nothing else that writes to the folder.",
            )
        if values is not block:
            block.copy_(values)

    def save(self, tile: Tile, block: Tensor) -> None:
        """Write `block`.

        Raises
        ------
        InputError
            The folder cannot be written.
        """
        path = self._path(tile)
        payload = block.contiguous().cpu().numpy().tobytes()
        header = self._header(tile, block, hashlib.sha256(payload).hexdigest())
        write_whole(path, _MAGIC + header + payload, "--cache")
        self.computed += 1


def _unusable(path: Path, error: OSError) -> InputError:
    return InputError(
        where=f"--cache, {path}",
        found=f"{type(error).__name__}: {error.strerror or error}",
        required="a folder that can be written, with room for the tiles",
    )


def missing_tiles(
    wanted: Iterable[tuple[Tile, Tensor]], cache: TileCache | None, progress: Progress
) -> Iterator[tuple[Tile, Tensor]]:
    """Those of the tiles that the cache has not; it writes the others' blocks."""
    for tile, block in wanted:
        if cache is not None and cache.load(tile, block):
            progress.advance(float(block.numel()))
        else:
            yield tile, block
