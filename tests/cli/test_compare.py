"""`gencheck compare` as users call it."""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.bounds.binomial import binomial_upper_end
from gencheck.cli.app import app
from gencheck.report.schema import schema_text
from gencheck.training.loop import Training, fit
from tests.conftest import printed

runner = CliRunner()
NAMES = [
    "validation",
    "data-dependent",
    "data-dependent-certified",
    "data-independent",
    "rademacher-path-norm",
    "vc",
    "spectral-margin",
    "pac-bayes",
    "path-norm-margin",
]
ESTIMATES = ["uniform-stability", "robustness", "sharpness"]
QUICK = ("--posterior-steps", "20", "--posterior-draws", "20")


def residual() -> nn.Module:
    """A small residual network with a max-pool, for --model."""
    return Residual()


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.pool(torch.relu(self.first(x)))
        return self.head(torch.relu(h + self.second(h)).flatten(1))


def arrays(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds in twelve dimensions, with labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    centres = np.random.default_rng(99).uniform(0.2, 0.8, (3, 12))
    items = centres[labels] + 0.1 * random.normal(size=(count, 12))
    return items.astype(np.float32), labels


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained network, the one it began as, and its data."""
    folder = tmp_path_factory.mktemp("compare")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save(module.state_dict(), folder / "initial.pt")
    (x, y), (x_test, y_test) = arrays(300, 0), arrays(200, 1)
    fit(module, torch.from_numpy(x), torch.eye(3)[torch.from_numpy(y)], Training(20, 32), 0)
    torch.save(module.state_dict(), folder / "m.pt")
    np.savez(folder / "d.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return folder


def document(*arguments: str | Path) -> dict[str, Any]:
    result = runner.invoke(app, ["compare", *map(str, arguments), *QUICK, "--json"])
    assert result.exit_code == 0, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text("compare")))
    return doc


def refused(*arguments: str | Path, code: int = 2) -> str:
    result = runner.invoke(app, ["compare", *map(str, arguments), *QUICK])
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    return result.stderr


def rows_of(doc: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in doc["theories"]}


def test_document(case: Path) -> None:
    doc = document(case / "m.pt", case / "d.npz")
    assert doc["schema"] == "gencheck.compare/1"
    rows = rows_of(doc)
    assert list(rows) == NAMES
    assert set(doc["timing"]["seconds"]) == set(NAMES)
    error = doc["data"]["sample_error"]
    for row in rows.values():
        if row["risk"] is not None:
            assert row["gap"] == pytest.approx(row["risk"] - error)
            assert row["vacuous"] == (row["risk"] >= 1)
        failing = [a for a in row["assumptions"] if a["met"] is False]
        if row["certainty"] == "certified":
            assert not failing
        else:
            assert failing
    certified = {name for name, row in rows.items() if row["certainty"] == "certified"}
    assert certified == {
        *("validation", "rademacher-path-norm", "vc", "spectral-margin", "pac-bayes")
    }


def test_estimates_only_where_asked_for(case: Path) -> None:
    doc = document(case / "m.pt", case / "d.npz", "--estimates", "--limit", "100")
    rows = rows_of(doc)
    assert list(rows) == [*NAMES, *ESTIMATES]
    assert not any(rows[name]["certainty"] == "certified" for name in ESTIMATES)
    assert doc["inputs"]["estimates"]


def test_the_bound_on_inputs_is_declared_or_an_estimate(case: Path) -> None:
    """The largest coordinate seen is no bound on those never seen."""
    seen = rows_of(document(case / "m.pt", case / "d.npz"))["path-norm-margin"]
    assert seen["certainty"] == "estimated"
    (failing,) = [a for a in seen["assumptions"] if a["met"] is False]
    assert "the largest seen: pass --input-range" in failing["statement"]
    doc = document(case / "m.pt", case / "d.npz", "--input-range", "-3", "2")
    declared = rows_of(doc)["path-norm-margin"]
    assert declared["certainty"] == "certified"
    assert declared["constants"]["largest_input"] == 3
    assert doc["inputs"]["input_range"] == [-3, 2]
    ratio = declared["constants"]["complexity_term"] / seen["constants"]["complexity_term"]
    assert declared["constants"]["margin"] != seen["constants"]["margin"] or (
        ratio == pytest.approx(3 / seen["constants"]["largest_input"])
    )
    message = refused(case / "m.pt", case / "d.npz", "--input-range", "0", "0.5")
    assert "--input-range 0 0.5: found input" in message
    assert "required: a range that every item lies in" in message
    assert "--input-range" in refused(case / "m.pt", case / "d.npz", "--input-range", "1", "1")


def test_the_verdict_is_the_validation_bound(case: Path) -> None:
    doc = document(case / "m.pt", case / "d.npz", "--delta", "0.1", "--n-models", "7")
    errors = round(doc["data"]["reference_error"] * 200)
    expected = binomial_upper_end(errors, 200, math.log(7 / 0.1))
    assert doc["certified"] == {"name": "validation", "risk": pytest.approx(expected)}


def test_the_data_dependent_row_is_that_of_concentrate(case: Path) -> None:
    doc = document(case / "m.pt", case / "d.npz")
    own = rows_of(doc)["data-dependent"]
    result = runner.invoke(app, ["concentrate", str(case / "m.pt"), str(case / "d.npz"), "--json"])
    other = json.loads(result.stdout)
    bound = other["bound"]["tightest"]["value"]
    assert own["measure"] == pytest.approx(bound)
    assert own["risk"] == pytest.approx(2 * (other["gap"]["sample_risk"] + bound))
    assert doc["data"]["reference_error"] == other["gap"]["reference_error"]


def test_golden_figures_that_follow_from_others(case: Path) -> None:
    """Each certified risk again from the document's own constants."""
    doc = document(case / "m.pt", case / "d.npz")
    rows, error, m = rows_of(doc), doc["data"]["sample_error"], 300
    with_margin = {"rademacher-path-norm": 3, "spectral-margin": 3, "path-norm-margin": 1}
    for name, factor in with_margin.items():
        constants = rows[name]["constants"]
        k = round(2 * math.log2(constants["margin"]))
        level = math.log(20) + constants["grid_price"]
        level += math.log(1.5 * (abs(k) + 1) * (abs(k) + 2)) + (math.log(2) if factor == 3 else 0)
        confidence = factor * math.sqrt(level / (2 * m))
        expected = constants["margin_loss"] + constants["complexity_term"] + confidence
        assert rows[name]["risk"] == pytest.approx(expected), name
    vc = rows["vc"]["constants"]
    assert (vc["units"], vc["weights"]) == ([8, 8, 1], [104, 72, 9])
    # more than twice as many weights as items: every pattern is possible
    assert rows["vc"]["risk"] == pytest.approx(
        error + math.sqrt(8 / m * (600 * math.log(2) + math.log(80)))
    )
    low_high = rows["spectral-margin"]["constants"]["spectral_norms"]
    state = torch.load(case / "m.pt")
    for name, ends in zip(("0.weight", "2.weight", "4.weight"), low_high, strict=True):
        exact = float(torch.linalg.matrix_norm(state[name].double(), 2))
        assert ends == pytest.approx([exact, exact])
    assert rows["pac-bayes"]["constants"]["weights"] == 12 * 8 + 8 + 72 + 27


def test_a_prior_that_is_near_helps(case: Path) -> None:
    far = rows_of(document(case / "m.pt", case / "d.npz"))["pac-bayes"]
    doc = document(case / "m.pt", case / "d.npz", "--prior", case / "initial.pt")
    near = rows_of(doc)["pac-bayes"]
    assert near["constants"]["distance_to_prior"] < far["constants"]["distance_to_prior"]
    assert near["measure"] < far["measure"]
    assert doc["inputs"]["prior"]["path"].endswith("initial.pt")
    statements = {a["statement"]: a["met"] for a in near["assumptions"]}
    assert (
        statements["the prior's mean (the weights of --prior) was fixed before the sample was seen"]
        is None
    )


def test_repeated_runs_are_identical(case: Path) -> None:
    runs = [document(case / "m.pt", case / "d.npz", "--limit", "100") for _ in range(2)]
    for doc in runs:
        del doc["timing"]
    assert runs[0] == runs[1]


def test_theories_that_do_not_cover_a_network_say_why(case: Path) -> None:
    torch.manual_seed(0)
    torch.save(Residual().state_dict(), case / "residual.pt")
    x, y = arrays(60, 0)
    images = np.repeat(x, 2, axis=1)[:, :16].reshape(60, 4, 4)
    np.savez(case / "images.npz", x=images, y=y)
    doc = document(
        case / "residual.pt",
        case / "images.npz",
        *("--holdout", "0.4", "--model", "tests.cli.test_compare:residual"),
    )
    rows = rows_of(doc)
    for name in ("spectral-margin", "rademacher-path-norm"):
        assert rows[name]["risk"] is None
        assert "joins two branches" in rows[name]["reason"]
    assert "largest of several units" in rows["vc"]["reason"]
    assert rows["path-norm-margin"]["risk"] is not None
    assert rows["pac-bayes"]["certainty"] == "certified"
    text = runner.invoke(
        app,
        [
            *("compare", str(case / "residual.pt"), str(case / "images.npz"), "--holdout", "0.4"),
            *("--model", "tests.cli.test_compare:residual", *QUICK),
        ],
    )
    assert "joins two branches" in text.stdout


class Attending(nn.Module):
    """Tokens, an attention and a norm: what theories of layers know nothing of."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(20, 4), nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        words = self.norm(self.words(tokens))
        return self.head(self.attention(words, words, words)[0].mean(1))


def test_a_transformer_has_the_rows_that_cover_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    program = torch.export.export(Attending().eval(), (torch.zeros(2, 5, dtype=torch.int64),))
    torch.export.save(program, tmp_path / "m.pt2")
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 20, (40, 5)), draw.integers(0, 3, 40)
    np.savez(tmp_path / "d.npz", x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:])
    doc = document(tmp_path / "m.pt2", tmp_path / "d.npz", "--estimates")
    rows = rows_of(doc)
    given = {name for name, row in rows.items() if row["risk"] is not None}
    assert given == {"validation", "data-dependent", "robustness"}
    assert doc["certified"]["name"] == "validation"
    for name in set(rows) - given - {"data-dependent-certified"}:
        assert rows[name]["reason"].startswith("outside this theory: embed at words and ")
        assert not rows[name]["assumptions"][-1]["met"]


def test_a_trained_slope_certifies_no_posterior(case: Path, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(12, 4), nn.PReLU(), nn.Linear(4, 3))
    program = torch.export.export(module, (torch.randn(300, 12),))
    torch.export.save(program, tmp_path / "prelu.pt2")
    rows = rows_of(document(tmp_path / "prelu.pt2", case / "d.npz"))
    assert rows["pac-bayes"]["certainty"] == "estimated"
    assert "trained slope" in rows["vc"]["reason"]


@pytest.mark.slow
def test_magnitudes_past_floats_are_given_as_logarithms(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(195):
        layer = nn.Linear(64, 64)
        nn.init.normal_(layer.weight, std=0.9)
        layers += [layer, nn.ReLU()]
    torch.save(nn.Sequential(*layers, nn.Linear(64, 2)).state_dict(), tmp_path / "m.pt")
    x = np.random.default_rng(0).random((12, 64))
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(12) % 2)
    arguments = (tmp_path / "m.pt", tmp_path / "d.npz", "--holdout", "0.5", "--dtype", "float64")
    text = printed("100", "compare", *arguments, *QUICK, "--output", tmp_path / "doc.json")
    doc = json.loads((tmp_path / "doc.json").read_text())
    jsonschema.validate(doc, json.loads(schema_text("compare")))
    row = rows_of(doc)["rademacher-path-norm"]
    assert row["measure"] is row["constants"]["path_norm"] is None
    assert row["risk"] > 1e100
    assert row["log10"]["measure"] > 308
    assert row["vacuous"]
    assert row["certainty"] == "certified"
    assert f"10^{row['log10']['measure']:.1f}" in text.stdout


def test_draws_whose_outputs_overflow_leave_a_posterior(tmp_path: Path) -> None:
    """Outputs near the end of float32: the draws around these weights go past it."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(12, 12, bias=False), nn.ReLU(), nn.Linear(12, 3, bias=False))
    x, y = arrays(60, 0)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    with torch.no_grad():
        factor = math.sqrt(2.5e38 / float(module(torch.from_numpy(x).float()).abs().max()))
        for layer in (module[0], module[2]):
            layer.weight *= factor
    torch.save(module.state_dict(), tmp_path / "m.pt")
    arguments = (tmp_path / "m.pt", tmp_path / "d.npz", "--holdout", "0.5")
    row = rows_of(document(*arguments))["pac-bayes"]
    assert row["risk"] > 0.5
    assert row["measure"] > 0
    with torch.no_grad():
        module[2].weight *= 10
    torch.save(module.state_dict(), tmp_path / "m.pt")
    message = refused(*arguments)
    assert "finite outputs" in message
    assert "--dtype float64" in message


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_report_fits(case: Path, columns: str) -> None:
    run = printed(columns, "compare", case / "m.pt", case / "d.npz", *QUICK)
    assert run.exit_code == 0, run.output
    assert max(len(line) for line in run.stdout.splitlines()) <= int(columns)
    # the certified figure that stands leads the table
    order = [run.stdout.index(part) for part in ("reference T", *NAMES[:3], "holds", "Verdict")]
    assert order == sorted(order)
    assert "…" not in run.stdout
    assert "\x1b[" not in run.stdout


def test_refusals(case: Path, tmp_path: Path) -> None:
    x, _ = arrays(40, 0)
    np.savez(tmp_path / "values.npz", x=x, y=np.linspace(0, 1, 40))
    message = refused(case / "m.pt", tmp_path / "values.npz", "--holdout", "0.5")
    assert "target values" in message
    np.savez(tmp_path / "rows.npz", x=x, y=np.random.default_rng(0).random((40, 3)))
    message = refused(case / "m.pt", tmp_path / "rows.npz", "--holdout", "0.5")
    assert "regression" in message
    assert "gencheck concentrate" in message
    assert refused(case / "m.pt", case / "d.npz", "--task", "regression") == message
    assert "--delta" in refused(case / "m.pt", case / "d.npz", "--delta", "1")
    assert "--n-models" in refused(case / "m.pt", case / "d.npz", "--n-models", "0")
    torch.save(nn.Sequential(nn.Linear(12, 3)).state_dict(), tmp_path / "other.pt")
    message = refused(case / "m.pt", case / "d.npz", "--prior", tmp_path / "other.pt")
    assert "--prior" in message
    assert "(8, 12)" in message
    assert "absent.pt" in refused(case / "m.pt", case / "d.npz", "--prior", tmp_path / "absent.pt")


@pytest.mark.parametrize("items", [1, 2, 3])
def test_very_few_items(case: Path, items: int) -> None:
    doc = document(case / "m.pt", case / "d.npz", "--limit", str(items))
    assert doc["data"]["sample"] == doc["data"]["reference"] == items
    assert all(row["vacuous"] is not False for row in doc["theories"] if row["name"] == "vc")


def test_dead_networks(case: Path, tmp_path: Path) -> None:
    state = {key: torch.zeros_like(value) for key, value in torch.load(case / "m.pt").items()}
    torch.save(state, tmp_path / "dead.pt")
    rows = rows_of(document(tmp_path / "dead.pt", case / "d.npz", "--limit", "50"))
    assert "weights 0" in rows["spectral-margin"]["reason"]
    assert rows["rademacher-path-norm"]["measure"] < 1e-300
    assert rows["rademacher-path-norm"]["risk"] >= 1
