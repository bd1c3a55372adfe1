"""What the report of `val-bound` says of studies, tasks, clusters and splits."""

from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.figures import rounded
from gencheck.report.terminal.parts import figures_table


def study_facts(doc: Document) -> list[tuple[str, str]]:
    """What was counted in the study, and why."""
    if "study" not in doc:
        return []
    study = doc["study"]
    states = ", ".join(f"{count} {state}" for state, count in sorted(study["states"].items()))
    left = f"; {study['left_out']} without a score not counted" if study["left_out"] else ""
    rows = [
        ("study", f"{study['kind']}: {study['name']}"),
        ("trials", f"{states}{left}"),
        ("counted", f"{study['models']:,} {study['counted']}: {study['why']}"),
    ]
    rows += _sampler_facts(study)
    if study["best"] is not None:
        best = study["best"]
        rows.append(("best", f"{best['trial']}, {study['metric']} {best['score']:.6g}"))
    return rows + [("note", note) for note in study["notes"]]


def _sampler_facts(study: dict[str, Any]) -> list[tuple[str, str]]:
    """Whether the class was fixed beforehand, and what is valid where it was not."""
    sampler, ways = study["sampler"], study.get("ways")
    if sampler is not None and not sampler["adaptive"]:
        return [("sampler", f"{sampler['name']}: what is tried does not depend on scores")]
    if ways is None:
        return []
    fixed, adaptive, fresh = ways["fixed"], ways["adaptive"], ways["fresh"]
    new = f"{_risk(fresh['risk'])} at the same error on {fresh['items']:,} new items for the chosen model"
    rounds = f"{adaptive['rounds']:,} scores, each one of {adaptive['scores_per_round']:,}"
    if sampler is None:
        default = " (Optuna's default, TPE, does)" if study["kind"].startswith("Optuna") else ""
        return [
            ("sampler", f"the store does not say whether it looked at earlier scores{default}"),
            (
                "if it did",
                f"{_risk(adaptive['risk'])}, by all that {rounds}, can lead to; or {new}",
            ),
        ]
    return [
        (
            "sampler",
            f"{sampler['name']} looked at earlier scores, so the models that were tried depend on the "
            f"items: the bound is over all that {rounds}, can lead to",
        ),
        (
            "beside it",
            f"{_risk(fixed['risk'])} had the trials been fixed: not valid here; {new}",
        ),
    ]


def scores_facts(doc: Document) -> list[tuple[str, str]]:
    """Which model was chosen, and what its units are."""
    if "scores" not in doc:
        return []
    scores = doc["scores"]
    rows = [
        ("model", f"{scores['models'][0]['name']}: mean loss {scores['models'][0]['loss']:.6g}")
    ]
    rows += [
        ("beside it", f"{model['name']}: mean loss {model['loss']:.6g}")
        for model in scores["models"][1:6]
    ]
    if len(scores["models"]) > 6:
        rows.append(("", f"… and {len(scores['models']) - 6} more"))
    if scores["largest_cluster"]:
        rows.append(
            (
                "clusters",
                f"{scores['units']:,} of {scores['items']:,} items, the largest of "
                f"{scores['largest_cluster']:,}; the cluster is the unit",
            )
        )
    naive = scores["naive"]
    if naive is not None:
        ratio = naive["slack_ratio"]
        times = "" if ratio is None else f"; the slack here is {ratio:.3g} times as wide"
        rows.append(
            (
                "naive",
                f"{rounded(naive['risk'], 6, up=True)} had the {naive['items']:,} items been independent "
                f"and alike: not valid here{times}",
            )
        )
    return rows


def beside_facts(doc: Document) -> list[tuple[str, str]]:
    """The two-sided intervals, and what a split would give."""
    rows = []
    solved = doc.get("solution", {}).get("reading") == "p-value"
    if "intervals" in doc and not solved:
        low, high = doc["intervals"]["fixed"]
        rows.append(("interval", f"{_span(low, high, 4)}, were the model the only one tried"))
        if doc["evaluated_at"]["log_n_models"] > 0:
            low, high = doc["intervals"]["all"]
            rows.append(("", f"{_span(low, high, 4)}, for each of all models"))
    if "split" in doc and not solved:
        split = doc["split"]
        rows.append(
            (
                "split",
                f"at this error, to choose on {split['items'] - split['confirm_items']:,} and confirm "
                f"on {split['confirm_items']:,} gives {_risk(split['confirm_risk'])}; to choose on all "
                f"{split['items']:,} gives {_risk(split['choose_on_all_risk'])}",
            )
        )
    return rows


def groups_table(doc: Document) -> list[RenderableType]:
    """One row a task or stratum."""
    scores = doc.get("scores", {})
    if not scores.get("groups"):
        return []
    tested = "p_adjusted" in scores["groups"][0]
    columns = ("items", "mean loss", "interval", "risk ≤", *(("p (Holm)",) if tested else ()))
    table = figures_table(scores["kind"], columns)
    for row in scores["groups"]:
        low, high = row["interval"]
        cells = [f"{row['units']:,}", f"{row['loss']:.4g}", _span(low, high, 3), _risk(row["risk"])]
        cells += [f"{row['p_adjusted']:.3g}"] if tested else []
        table.add_row(Text(row["name"]), *cells)
    note = f"the bounds of all {scores['kind']} hold together (Bonferroni)"
    return [Padding(table, (1, 0, 0, 0)), Text(note, style="dim")]


def _risk(bound: float) -> str:
    return rounded(bound, 4, up=True)


def _span(low: float, high: float, digits: int) -> str:
    """An interval, rounded outwards."""
    return f"{rounded(low, digits, up=False)} to {rounded(high, digits, up=True)}"
