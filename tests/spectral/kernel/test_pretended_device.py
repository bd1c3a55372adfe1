"""Gates, Gram matrix and Lanczos on a device that is not there: every tensor is where it should be."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.utils import backend_registration

from tests import pretended_device
from tests.pretended_device import BATCH, DEFECTS, ITEMS, NETWORKS, PRODUCTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["pretended", "cuda"])
def outcomes(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What each network read, stage by stage."""
    device = request.param
    if device == "cuda" and not torch.backends.cuda.is_built():
        pytest.skip("torch is built without CUDA")
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch has no devices written in Python")
    done = subprocess.run(
        [sys.executable, "-m", pretended_device.__name__, device],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_tensor_is_on_the_device_and_nothing_waits(outcomes: dict[str, Any]) -> None:
    for name in NETWORKS:
        assert isinstance(outcomes[name], dict), (name, outcomes[name])
        maps, gram = (outcomes[name].pop(key) for key in ("maps", "gram"))
        # of each map its largest self-product, for two strips; the diagonal; and where coordinates are
        # multiplied by themselves, their ends and whether they are whole numbers, in two ways
        assert gram in (2 * maps + 1, 2 * maps + 5)
        assert outcomes[name] == {
            # of each batch whether it stayed in range, and all outputs
            "gates": -(-ITEMS // BATCH) + 1,
            "norms": 1,
            # a norm and a quotient a product; a norm to start from, and the Ritz pair evaluated anew
            "beta1": 2 * PRODUCTS + 5,
            "relabelled": 0,
            "relabelled_ritz": 4,
        }, name


def test_a_defect_would_be_found(outcomes: dict[str, Any]) -> None:
    assert outcomes["read_inside"].startswith("HeldUp: _local_scalar_dense.default: read")
    assert "Expected all tensors to be on the same device" in outcomes["left_on_the_host"]
    assert outcomes["sent_each_time"].startswith("HeldUp: _to_copy.default: sent")
    assert len(outcomes) == len(NETWORKS) + len(DEFECTS)
