"""Places for the factors of items, as the compiled loops find them."""

from gencheck.network.program import Batch, Program
from gencheck.spectral.kernel.bits.plan import (
    BITS,
    READY,
    REALS,
    WORDS,
    Placed,
    is_binary,
    is_ready,
)
from gencheck.spectral.kernel.factors import Factors


def word_number(width: int) -> int:
    """The number of the narrowest word that holds `width` bits, or of the widest."""
    return next((i for i, w in enumerate(WORDS) if width <= w), len(WORDS) - 1)


class Store:
    """Places for factors in each item's arrays."""

    def __init__(self, program: Program, factors: Factors) -> None:
        self.program, self.factors = program, factors
        self.placed: list[Placed] = []
        self.words = [0] * len(WORDS)
        self.reals = self.ready = 0

    def place(
        self, batches: tuple[Batch, ...], by_carrier: bool, span: tuple[int, int] | None = None
    ) -> Placed:
        """A place for the factors of `batches`; with a span, for all cells of the result in it."""
        first = batches[0]
        blocks = first.blocks if span is None else span[1] - span[0]
        if by_carrier and first.carrier is not None:
            blocks = self.program.maps[first.carrier].cells
        if is_ready(first):
            made = Placed(
                batches=batches,
                kind=READY,
                word=self.ready,
                offset=0,
                depth=1,
                blocks=1,
                by_carrier=False,
            )
            self.ready += 1
        elif is_binary(first, self.factors):
            number = word_number(first.width)
            depth = -(-first.width // WORDS[number])
            offset = self.words[number]
            start = -1 if span is None else span[0]
            made = Placed(
                batches=batches,
                kind=BITS,
                word=number,
                offset=offset,
                depth=depth,
                blocks=blocks,
                by_carrier=by_carrier,
                first=start,
            )
            self.words[number] += depth * blocks
        else:
            made = Placed(
                batches=batches,
                kind=REALS,
                word=0,
                offset=self.reals,
                depth=first.width,
                blocks=blocks,
                by_carrier=False,
            )
            self.reals += first.width * blocks
        self.placed.append(made)
        return made
