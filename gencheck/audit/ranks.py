"""An audit on several processes: that all of them are asked the same."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.spectral.process_ranks import LostRank, ProcessRanks
from gencheck.spectral.ranks import ALONE, Ranks
from gencheck.version import __version__

__all__ = ["ALONE", "LostRank", "ProcessRanks", "Ranks", "require_same"]


def require_same(
    ranks: Ranks, record: Mapping[str, Any], sets: Iterable[Labelled], options: AuditOptions
) -> None:
    """Do nothing where all ranks ask the same question of the same items.

    Parameters
    ----------
    record
        How the inputs were made.

    Raises
    ------
    InputError
        They do not; names what differs.
    """
    if not isinstance(ranks, ProcessRanks):
        return
    own = {"cache", "device", "memory"}
    asked = {
        name: value for name, value in {**record, **options.record()}.items() if name not in own
    }
    digest = hashlib.sha256()
    for part in sets:
        for tensor in (part.items, part.targets):
            digest.update(tensor.contiguous().numpy().data)
    facts = {name: json.dumps(value, default=str) for name, value in asked.items()}
    facts |= {"items": digest.hexdigest(), "gencheck": __version__, "torch": torch.__version__}
    facts |= {"threads": str(torch.get_num_threads())}
    ranks.require_agreement(facts)
