"""Files of scores whose items are clustered, stratified or weighted: what is read, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gencheck.errors import InputError
from gencheck.guarantees.evidence import ValidationRequest, score_keys
from gencheck.guarantees.paired import PairedResult, paired_result
from gencheck.guarantees.paired_units import PairedRequest
from gencheck.guarantees.validation import ValidationResult, validation_result


def table(folder: Path, name: str, **columns: Any) -> Path:
    """A .csv file of such columns."""
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def bounded(**options: Any) -> ValidationResult:
    return validation_result(ValidationRequest(**{"n_models": "1"} | options))


def compared(first: Path, second: Path, loss: str | None = None, **keys: Any) -> PairedResult:
    own = {name: keys.pop(name) for name in ("max_weight", "only_common") if name in keys}
    return paired_result(PairedRequest(first, (second,), score_keys(loss, None, **keys), **own))


def test_named_columns_of_predictions_are_read_beside_clusters(tmp_path: Path) -> None:
    ones = [1] * 40
    path = table(tmp_path, "p.csv", label=ones, prediction=ones, other=[0] * 40, doc=range(40))
    for grouping in ({}, {"cluster_key": "doc"}):
        found = bounded(predictions=path, prediction_key="other", **grouping)
        assert found.evidence.mean == 1
        with pytest.raises(InputError, match="--prediction-key none: found columns"):
            bounded(predictions=path, prediction_key="none", **grouping)
    assert bounded(predictions=path, cluster_key="doc").evidence.mean == 0


def test_a_file_of_predictions_is_one_even_with_a_column_of_losses(tmp_path: Path) -> None:
    path = table(
        tmp_path, "p.csv", label=[1] * 20, prediction=[0] * 20, loss=[0] * 20, doc=range(20)
    )
    assert bounded(predictions=path, cluster_key="doc").evidence.mean == 1
    assert bounded(losses=path, cluster_key="doc").evidence.mean == 0
    with pytest.raises(InputError, match="--predictions: found --loss bounded"):
        bounded(predictions=path, cluster_key="doc", loss="bounded")
    with pytest.raises(InputError, match="--predictions: found --score-key"):
        bounded(predictions=path, score_key="loss")


@pytest.mark.parametrize(
    "beside",
    [{"m_val": "3"}, {"val_error": 0.9}, {"predictions": "FILE"}, {"scores": "FILE"}],
    ids=lambda beside: next(iter(beside)),
)
def test_one_source_alone_beside_clusters(tmp_path: Path, beside: dict[str, Any]) -> None:
    path = table(tmp_path, "l.csv", loss=[0, 1], doc=[1, 2])
    beside = {name: path if value == "FILE" else value for name, value in beside.items()}
    with pytest.raises(InputError, match="found another source of items or of their error"):
        bounded(losses=path, cluster_key="doc", **beside)


@pytest.mark.parametrize("source", ["losses", "numbers"])
def test_a_largest_weight_needs_weights(tmp_path: Path, source: str) -> None:
    given: dict[str, Any] = {"m_val": "10", "val_error": 0.1}
    if source == "losses":
        given = {"losses": table(tmp_path, "l.csv", loss=[0, 1])}
    with pytest.raises(InputError, match="--weight-key and --max-weight: found one"):
        bounded(max_weight=5.0, **given)


def test_a_cluster_lies_in_one_stratum(tmp_path: Path) -> None:
    """Parts of one cluster depend on one another: the bound over strata would not hold."""
    path = table(tmp_path, "l.csv", loss=[0, 1] * 4, doc=[1, 2] * 4, site=list("aabbccdd"))
    with pytest.raises(InputError, match="cluster '1': found items of several strata"):
        bounded(losses=path, cluster_key="doc", stratify_key="site")
    with pytest.raises(InputError, match="cluster '1': found items of several strata"):
        compared(path, path, cluster_key="doc", stratify_key="site")


class TestWeights:
    """Their mean is 1, whatever is weighted."""

    def test_weights_that_add_up_to_one_are_refused(self, tmp_path: Path) -> None:
        path = table(tmp_path, "l.csv", loss=[1] * 200, w=[1 / 200] * 200)
        with pytest.raises(InputError, match=r"weights of mean 0\.005 .*multiplied by 200"):
            bounded(losses=path, weight_key="w", max_weight=1.0)
        with pytest.raises(InputError, match=r"weights of mean 0\.005"):
            compared(path, path, loss="bounded", weight_key="w", max_weight=3.0)

    @pytest.mark.parametrize("mean_over", ["items", "groups"])
    def test_of_each_stratum(self, tmp_path: Path, mean_over: str) -> None:
        """A stratum's row bounds a risk of its own, which weights of another mean would scale."""
        weights = [0.5] * 100 + [1.5] * 100
        columns = {"loss": [1, 0] * 100, "w": weights, "site": ["a"] * 100 + ["b"] * 100}
        path = table(tmp_path, "l.csv", **columns)
        asked = {"losses": path, "weight_key": "w", "max_weight": 1.5}
        assert bounded(**asked).certified is not None
        with pytest.raises(InputError, match=r"weights of mean 0\.5 over 100 units"):
            bounded(**asked, stratify_key="site", mean_over=mean_over)

    def test_none_is_negative(self, tmp_path: Path) -> None:
        lines = [f'{{"acc": {k % 2}, "w": {3 if k % 2 else -1}}}' for k in range(40)]
        (tmp_path / "l.jsonl").write_text("\n".join(lines) + "\n")
        with pytest.raises(InputError, match="found the weight -1; required: 0 or more"):
            bounded(scores=tmp_path / "l.jsonl", score_key="acc", weight_key="w", max_weight=3.0)

    def test_weights_as_they_are_meant_are_hardly_ever_refused(self, tmp_path: Path) -> None:
        random = np.random.default_rng(0)
        for meant, sampled in ((0.02, 0.2), (0.3, 0.6), (0.9, 0.5)):
            of_rare, of_others = meant / sampled, (1 - meant) / (1 - sampled)
            for _ in range(20):
                weights = np.where(random.random(400) < sampled, of_rare, of_others)
                path = table(tmp_path, "l.csv", loss=random.integers(2, size=400), w=weights)
                cap = max(of_rare, of_others)
                assert bounded(losses=path, weight_key="w", max_weight=cap).certified is not None

    def test_a_largest_weight_of_one_leaves_only_ones(self, tmp_path: Path) -> None:
        path = table(tmp_path, "l.csv", loss=[1, 0] * 10, w=[1] * 20)
        assert bounded(losses=path, weight_key="w", max_weight=1.0).evidence.mean == 0.5


class TestMatching:
    """Items are matched before clusters of them are compared."""

    def columns(self) -> dict[str, Any]:
        return {"id": range(100), "loss": [0, 1] * 50, "doc": np.arange(100) // 5}

    def test_items_that_one_side_lacks_are_refused(self, tmp_path: Path) -> None:
        first = table(tmp_path, "a.csv", **self.columns())
        few = {name: list(column)[::5] for name, column in self.columns().items()}
        second = table(tmp_path, "b.csv", **few)
        with pytest.raises(InputError, match="no item '1', nor 79 more"):
            compared(first, second, cluster_key="doc")
        common = compared(first, second, cluster_key="doc", only_common=True)
        assert (common.comparisons[0].items, common.left_out) == (20, 80)
        other = table(tmp_path, "c.csv", **self.columns() | {"id": range(200, 300)})
        with pytest.raises(InputError, match="no id in common"):
            compared(first, other, cluster_key="doc")

    def test_an_item_is_of_one_cluster(self, tmp_path: Path) -> None:
        first = table(tmp_path, "a.csv", **self.columns())
        second = table(tmp_path, "b.csv", **self.columns() | {"doc": np.arange(100) // 4})
        with pytest.raises(InputError, match="found the cluster '1', which is '0'"):
            compared(first, second, cluster_key="doc")

    def test_in_another_order_nothing_differs(self, tmp_path: Path) -> None:
        random = np.random.default_rng(1)
        columns = self.columns() | {"loss": random.random(100)}
        first = table(tmp_path, "a.csv", **columns)
        for drop in ((), ("id",)):
            order = random.permutation(100)
            turned = {
                name: np.asarray(column)[order]
                for name, column in columns.items()
                if name not in drop
            }
            held = {name: column for name, column in columns.items() if name not in drop}
            one = table(tmp_path, "a.csv", **held) if drop else first
            two = table(tmp_path, "b.csv", **turned)
            (found,) = compared(one, two, loss="bounded", cluster_key="doc").comparisons
            assert found.items == 20
            assert found.table == {"wins": 0, "losses": 0, "ties": 20}


def test_the_best_of_several_is_not_one_of_fewer(tmp_path: Path) -> None:
    for k in range(3):
        table(tmp_path, f"m{k}.csv", loss=[0] * (10 + k) + [1] * (10 - k))
    assert bounded(scores=tmp_path, n_models=None).log_models == pytest.approx(np.log(3))
    assert bounded(scores=tmp_path, n_models="3").certified is not None
    for given in ({"n_models": "2"}, {"n_models": None, "log_n_models": 1.0}):
        with pytest.raises(InputError, match="for the best of 3 models in the files"):
            bounded(scores=tmp_path, **given)
    asked = {"solve": "n-models", "target": 0.9, "n_models": None}
    assert bounded(scores=tmp_path, **asked).solution is not None


def test_a_bound_above_every_loss_is_vacuous_for_weighted_items_too(tmp_path: Path) -> None:
    weights = [0.5] * 40 + [3.0] * 10
    path = table(tmp_path, "l.csv", loss=[1] * 50, w=weights)
    found = bounded(losses=path, weight_key="w", max_weight=3.0)
    assert found.evidence.high == 3
    assert all(bound.vacuous == (bound.risk >= 1) for bound in found.bounds)
    assert any(1 <= bound.risk < 3 for bound in found.bounds)
