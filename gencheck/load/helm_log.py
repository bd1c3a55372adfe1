"""HELM's statistics of each instance, as `helm-run` writes them: one folder a run."""

import json
from pathlib import Path
from typing import Any

from gencheck.errors import InputError
from gencheck.load.item_scores import ItemScores, ScoreKeys
from gencheck.load.json_lines import Record
from gencheck.load.logs import ScoreRows, score_of


def helm_scores(path: Path, keys: ScoreKeys) -> list[ItemScores]:
    """HELM's `per_instance_stats.json`: the mean of the statistic `keys.score_key` of each instance.

    Task and model are those of the run's name, which is its folder's. Where a run has several splits or
    perturbations the key is ``statistic,split`` or ``statistic,split+perturbation``. Every trial of an
    instance is an item of the instance's id; records of other metrics, of which older releases write
    several an instance, are passed over.

    Raises
    ------
    InputError
        The file is damaged, the statistic is not there or not clear, or an instance has none of it.
    """
    records = _records(path)
    name, chosen = _statistic_and_label(path, records, keys.score_key)
    model, task = _model_and_task(path)
    rows, without = ScoreRows(str(path)), dict[str, str]()
    for number, record in enumerate(records):
        identity, at = f"{task}/{record.get('instance_id', number)}", f"{path}, instance {number}"
        for stat in _stats(record, chosen):
            without.setdefault(identity, at)
            if stat["name"]["name"] == name and stat.get("mean") is not None:
                rows.add(record, score_of(stat["mean"], at, name), identity, keys, at)
    for identity, at in without.items():
        if identity not in rows.ids:
            raise InputError(
                where=at,
                found=f"no {name!r} of {identity!r}",
                required="the statistic of every instance",
                remedy="Items that are missing because they failed would make the score look better.",
            )
    return [rows.finished(model, task, keys)]


def _model_and_task(path: Path) -> tuple[str, str]:
    """Of a run's name, ``scenario:argument=value,model=NAME,…``: the model, and the rest."""
    scenario, _, arguments = path.parent.name.partition(":")
    parts = [part.partition("=") for part in arguments.split(",") if part]
    model = {key: value for key, _, value in parts}.get("model", path.parent.parent.name)
    rest = ["".join(part) for part in parts if part[0] not in {"model", "model_deployment"}]
    return model, ":".join(filter(None, (scenario, ",".join(rest))))


def _records(path: Path) -> list[Record]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(
            where=str(path), found=f"no JSON ({error})", required="HELM's list of instances"
        ) from error
    whole = isinstance(content, list) and all(
        isinstance(record, dict) and all(map(_is_stat, record.get("stats") or [None]))
        for record in content
    )
    if not whole:
        raise InputError(
            where=str(path),
            found="something else than instances with named statistics",
            required="a file that helm-run wrote",
        )
    return list(content)


def _is_stat(stat: Any) -> bool:
    return (
        isinstance(stat, dict)
        and isinstance(stat.get("name"), dict)
        and isinstance(stat["name"].get("name"), str)
    )


def _label(stat: Record) -> str:
    """The split of a statistic, and its perturbation where there is one."""
    changed = stat["name"].get("perturbation")
    changed = changed.get("name") if isinstance(changed, dict) else None
    return str(stat["name"].get("split", "all")) + (f"+{changed}" if changed else "")


def _stats(record: Record, label: str | None) -> list[Record]:
    return [stat for stat in record["stats"] if label in (None, _label(stat))]


def _statistic_and_label(
    path: Path, records: list[Record], asked: str | None
) -> tuple[str, str | None]:
    name, _, chosen = (asked or "").partition(",")
    stats = [stat for record in records for stat in record["stats"]]
    names = sorted({stat["name"]["name"] for stat in stats})
    if name not in names:
        raise InputError(
            where=str(path),
            found=f"the statistics {', '.join(names[:12])}",
            required="the one to bound: --score-key NAME",
        )
    labels = sorted({_label(stat) for stat in stats if stat["name"]["name"] == name})
    if len(labels) > 1 and chosen not in labels:
        raise InputError(
            where=str(path),
            found=f"the splits and perturbations {', '.join(labels)}",
            required=f"one of them: --score-key {name},{labels[0]}",
        )
    return name, chosen or None
