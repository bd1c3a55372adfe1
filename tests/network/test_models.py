"""The smallest architecture of each library that the coverage page measures, with random weights."""

from importlib.util import find_spec

import pytest

from tests.benchmarks.coverage_of_models import measure

pytestmark = pytest.mark.slow

_SMALLEST = {"torchvision": "squeezenet1_1", "timm": "mobilevit_xxs", "transformers": "DistilBERT"}


@pytest.mark.parametrize("library", _SMALLEST)
@pytest.mark.filterwarnings("default")
def test_smallest_model_of_each_library_is_covered_whole(library: str) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed: it comes with the extra models")
    row = measure(_SMALLEST[library])
    assert row["covered"] == "whole", row
    assert row["deviation"] < 1e-5
    assert row["log10_paths"] > 10
