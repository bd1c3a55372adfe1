"""Parts of the Gram matrix against the whole, and the whole against explicit path features."""

import numpy as np
import pytest
import torch

from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel.columns import kernel_columns
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from tests.cases import random_case


@pytest.mark.parametrize("name", ["one_hidden_bias", "conv_pool", "residual"])
@pytest.mark.parametrize("tile", [4, 7, 64])
def test_parts_are_parts_of_the_whole(name: str, tile: int) -> None:
    case = random_case(name)
    items = torch.cat([case.sample.items, case.reference.items])
    program = kernel_program(case.subject.network)
    factors, _ = forward(case.subject.network, items, 8)
    truth = case.truth().kernel
    gram = gram_matrix(program, factors, tile)
    scale = 2.0**gram.exponent
    for rows, columns in ((slice(0, 22), slice(0, 9)), (slice(5, 17), slice(3, 21))):
        part = gram.submatrix(rows, columns).numpy() * scale
        np.testing.assert_allclose(part, truth[rows, columns], rtol=1e-9)
    for count in (1, 6, 22):
        made, exponent = kernel_columns(program, factors, count, tile)
        np.testing.assert_allclose(made.numpy() * 2.0**exponent, truth[:, :count], rtol=1e-9)
