"""Small learnable data for tests of training."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gencheck.load.digest import sha256_of


def blobs(
    count: int, seed: int = 0, shape: tuple[int, ...] = (6,), classes: int = 3
) -> tuple[Tensor, Tensor]:
    """Items around one centre for each class, and one-hot targets."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn((classes, *shape), generator=torch.Generator().manual_seed(99)) * 1.5
    labels = torch.randint(classes, (count,), generator=generator)
    items = centres[labels] + torch.randn((count, *shape), generator=generator)
    return items, torch.eye(classes)[labels]


def seal(folder: Path, record: dict[str, Any]) -> None:
    """Write `record` as the record of the run in `folder`, with the digests of the files there."""
    files = [p for p in folder.iterdir() if p.is_file() and p.name != "run.json"]
    digests = {path.name: sha256_of(path) for path in files}
    (folder / "run.json").write_text(json.dumps(record | {"digests": digests}))
