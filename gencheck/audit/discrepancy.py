"""The maximum mean discrepancy with a Gaussian kernel: what others compare two sets of items by."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gencheck.audit.question import Labelled
from gencheck.spectral.kernel.tiles import Tile, lanes_of, upper_tiles
from gencheck.spectral.ranks import ALONE, LANES, Ranks

# Items that the kernel's scale is taken from at most, and the side of the blocks that are formed.
_SCALE_ITEMS = 2000
_TILE = 2048


@dataclass(frozen=True)
class _Side:
    """A set's items, flattened and centred, and c = ±1/m and ±y/m of each, shape (m, 1 + K)."""

    items: Tensor
    coefficients: Tensor

    @classmethod
    def of(cls, part: Labelled, items: Tensor, sign: int) -> "_Side":
        weights = torch.full((len(items), 1), sign / len(items), dtype=torch.float64)
        targets = part.targets.cpu().double()
        return cls(items, torch.cat([weights, weights * targets], 1).to(items.device))


@dataclass(frozen=True)
class _Block:
    """Pairs of an item of one side and an item of the other; their squared distances where kept."""

    rows: _Side
    columns: _Side
    tile: Tile
    kept: Tensor | None = None

    @property
    def distances(self) -> Tensor:
        if self.kept is not None:
            return self.kept
        return _distances(self.rows.items[self.tile.rows], self.columns.items[self.tile.columns])

    def forms(self, scale: Tensor) -> Tensor:
        """What the pairs add to cᵀKc of each coefficient, shape (1 + K,)."""
        mirrored = self.rows is self.columns and self.tile.on_diagonal
        block = torch.exp(-self.distances / scale).double()
        if mirrored:
            block.fill_diagonal_(1)
        left = self.rows.coefficients[self.tile.rows]
        part = (left * (block @ self.columns.coefficients[self.tile.columns])).sum(0)
        return part * (1 if mirrored else 2)


class Discrepancies:
    """‖μ_S − μ_T‖ in the space of a Gaussian kernel, of any set S from one reference T.

    K is formed block by block, 2,048 items a side, in the items' dtype, and summed in float64. The
    distances between items of T are those of every S: they are formed once, and kept. `ranks` share all
    blocks, and have the same bits.

    Parameters
    ----------
    reference
        Items, flattened; what a network makes of items will do as well.
    device
        Where blocks are formed.
    """

    def __init__(self, reference: Labelled, device: str = "cpu", ranks: Ranks = ALONE) -> None:
        items = reference.items.flatten(1).to(device)
        # what all items share only costs digits of the distances
        self._centre, self._ranks = items.mean(0), ranks
        self._own = _Side.of(reference, items - self._centre, -1)
        tiles = upper_tiles(len(items), _TILE)
        lanes = lanes_of(tiles, LANES)
        mine = {number for lane in ranks.share(len(lanes)) for number in lanes[lane]}
        blocks = [_Block(self._own, self._own, tile) for tile in tiles]
        self._blocks = [
            _Block(self._own, self._own, each.tile, each.distances) if number in mine else each
            for number, each in enumerate(blocks)
        ]

    def of(self, sample: Labelled) -> tuple[float, float]:
        """Of the items alone, and of items with targets, which are of the reference's shapes.

        √(dᵀKd) and √(Σ_k c_kᵀKc_k), K_ij = exp(−‖x_i − x_j‖² / s), s the median of the squared
        distances that are not 0, d = 1/m on S and −1/n on T, c_k = d ⊙ y_k. Both are the distances of
        the empirical means themselves (V-statistics), as ‖V‖_F is with the path kernel: a small set is
        further away by noise. Of more than 2,000 items as many, at equal distances in S and then T, give
        the scale. Time is that of m²/2 + m n inner products of items.
        Gretton et al., *A Kernel Two-Sample Test*, JMLR 2012 (cited from memory).
        """
        items = sample.items.flatten(1).to(self._centre.device) - self._centre
        side = _Side.of(sample, items, 1)
        scale = self._scale(items)
        within = [_Block(side, side, tile) for tile in upper_tiles(len(items), _TILE)]
        across = [
            _Block(side, self._own, Tile(rows, columns))
            for rows in _cuts(len(items))
            for columns in _cuts(len(self._own.items))
        ]
        forms = self._summed(self._blocks, scale) + self._summed(within + across, scale)
        # rounding can leave a tiny negative number where the means agree
        alone, joint = forms[0].clamp(min=0), forms[1:].sum().clamp(min=0)
        return float(alone.sqrt()), float(joint.sqrt())

    def _summed(self, blocks: list[_Block], scale: Tensor) -> Tensor:
        lanes = lanes_of([block.tile for block in blocks], LANES)
        like = torch.zeros_like(self._own.coefficients[0])

        def lane_sum(lane: int) -> Tensor:
            total = like.clone()
            for number in lanes[lane]:
                total += blocks[number].forms(scale)
            return total

        return self._ranks.summed(len(lanes), lane_sum, like)

    def _scale(self, items: Tensor) -> Tensor:
        """The median of the squared distances that are not 0, between some items where there are many."""
        step = -(-(len(items) + len(self._own.items)) // _SCALE_ITEMS)
        some = torch.cat([items[::step], self._own.items[-len(items) % step :: step]])
        distances = _distances(some, some).fill_diagonal_(0)
        apart = distances[distances > 0]
        # where all items are one, every scale gives the same kernel
        return apart.median() if len(apart) else distances.new_ones(())


def _cuts(count: int) -> list[slice]:
    return [slice(at, min(at + _TILE, count)) for at in range(0, count, _TILE)]


def _distances(rows: Tensor, columns: Tensor) -> Tensor:
    """‖x − x′‖² of every pair, at least 0."""
    squares = rows.square().sum(1)[:, None] + columns.square().sum(1)
    return (squares - 2 * rows @ columns.T).clamp(min=0)
