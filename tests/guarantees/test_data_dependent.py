"""The data-dependent certificate of a run: its coordinates against enumerated paths."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gencheck.errors import InputError
from gencheck.guarantees.data_dependent import ORIGINS, RADII, data_dependent, span_items
from gencheck.guarantees.two_phase_run import TwoPhaseItems, read_two_phase_run
from tests.brute import enumerate_paths
from tests.guarantees.test_path_space import finished_run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TwoPhaseItems:
    return read_two_phase_run(*finished_run(tmp_path_factory.mktemp("ridge"), "ridge")).items


def test_coordinates_are_those_of_features_projected_onto_the_span(source: TwoPhaseItems) -> None:
    items = span_items(source, landmarks=7, input_reach=4.0, seed=2)
    order = np.random.default_rng(2).permutation(len(source.standard))
    parts = [source.standard[order[:7]], source.standard[order[7:]], source.freeze]
    rows = np.concatenate([part.items.numpy() for part in parts])
    z, weights = enumerate_paths(source.gates, rows)
    basis, sizes, _ = np.linalg.svd(z[:7].T, full_matrices=False)
    # seven items need not have seven directions
    basis = basis[:, sizes > 1e-3 * sizes[0]]
    others, freeze = np.split((z @ basis)[7:], [len(order) - 7])
    unit = (others**2).sum(1).mean()
    ours = items.freeze.coordinates
    np.testing.assert_allclose(ours @ ours.T, freeze @ freeze.T / unit, rtol=1e-4, atol=1e-6)
    assert (items.others.coordinates**2).sum(1).mean() == pytest.approx(1)
    np.testing.assert_allclose(items.freeze.base, z[len(order) :] @ weights, atol=1e-4)
    share = (freeze**2).sum() / (z[len(order) :] ** 2).sum()
    assert items.share == pytest.approx(share, rel=1e-4)
    assert items.largest >= (z**2).sum(1).max() / unit * (1 - 1e-6)
    assert np.array_equal(items.freeze.labels, source.freeze.labels)


def test_weights_are_those_of_the_origin_and_radii_see_no_freeze_item(
    source: TwoPhaseItems,
) -> None:
    items = span_items(source, landmarks=10, input_reach=4.0)
    changed = replace(items, freeze=replace(items.freeze, coordinates=2 * items.freeze.coordinates))
    for origin in ORIGINS:
        for radius in RADII:
            found = data_dependent(items, origin, radius, 0.05)
            assert found.radii == data_dependent(changed, origin, radius, 0.05).radii
            assert found.certificate.zero_one > found.test_error
            residual = np.eye(3)[items.freeze.labels]
            residual -= items.freeze.base if origin == "standard" else 0
            sizes = (residual**2).sum(1)
            inside = (items.freeze.coordinates**2).sum(1) <= found.radii.feature
            inside &= sizes <= found.radii.residual
            left = residual - items.freeze.coordinates @ found.certificate.weights
            risk = ((left**2).sum(1) * inside).mean()
            assert found.certificate.sample_risk == pytest.approx(risk)
    around_zero = [data_dependent(items, "zero", radius, 0.05) for radius in RADII]
    assert around_zero[0].radii.feature > around_zero[1].radii.feature
    assert around_zero[0].certificate.beta1 > around_zero[1].certificate.beta1
    assert around_zero[1].radii.residual == 1.0


def test_too_few_items_to_span(source: TwoPhaseItems) -> None:
    short = replace(source, standard=source.standard[:1])
    with pytest.raises(InputError, match="1 items of the standard phase"):
        span_items(short, 5, 1.0)
    without = span_items(replace(source, test=None), 5, 4.0)
    assert data_dependent(without, "zero", "range", 0.05).test_error is None


def test_more_landmarks_than_half_of_the_items(source: TwoPhaseItems, tmp_path: Path) -> None:
    items = span_items(source, 10**6, 4.0)
    assert len(items.others.labels) == len(source.standard) - len(source.standard) // 2
