"""Which batches of a program read their factors where the gates of an item are kept."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np

from gencheck.network.computed import Computed
from gencheck.network.ir import Network, is_smooth
from gencheck.network.node import Shape
from gencheck.network.program import Batch, Collapse, Program, channels_last


def read_in_place(program: Program, network: Network) -> Program:
    """The program whose batches know which of them are read where they are kept.

    Those are batches of one factor that is kept as a number: an input coordinate, a smooth or a computed
    gate. Gates of two values are kept as bits.
    """
    numbers = {
        i: (node.gates_per_plane,) if isinstance(node, Computed) else node.shape
        for i, node in enumerate(network.nodes)
        if i == 0 or is_smooth(node)
    }
    maps = [
        replace(made, batches=tuple(_placed(b, numbers) for b in made.batches))
        if isinstance(made, Collapse)
        else made
        for made in program.maps
    ]
    return Program(tuple(maps))


def _placed(batch: Batch, numbers: Mapping[int, Shape]) -> Batch:
    if len(batch.columns) != 1 or batch.columns[0].node not in numbers:
        return batch
    column, shape = batch.columns[0], numbers[batch.columns[0].node]
    places = column.index
    if column.node:
        places = channels_last(places, prod(shape), shape[0])
    steps = np.diff(places[:, 0])
    even = bool((steps == steps[:1]).all()) and bool((steps >= 0).all())
    beside = bool((np.diff(places, axis=1) == 1).all())
    return replace(batch, in_place=even and beside and bool((places >= 0).all()))
