"""Training in two phases, and what belongs to it."""

from gencheck.train.gated import GatedNetwork
from gencheck.train.phases import two_phase

__all__ = ["GatedNetwork", "two_phase"]
