"""Training in two phases, and what belongs to it."""

from gencheck.training.gated import GatedNetwork
from gencheck.training.phases import two_phase

__all__ = ["GatedNetwork", "two_phase"]
