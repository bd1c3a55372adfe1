"""Statistics under relabelling as small plots: the whole null distribution, and where these sets lie."""

from typing import Any

from gencheck.report.answer import NAMES, statistics
from gencheck.report.json import Document

# The plot's own units, of which the height of the page makes what it likes.
_WIDTH, _HEIGHT = 100.0, 20.0


def null_plots(doc: Document) -> list[dict[str, Any]]:
    """One statistic a row: bars of its null values, their median and 95 %, and the observed value.

    Each row has a scale of its own, linear from the smallest to the largest of its figures.
    """
    differing = doc["permutation"].get("differing", [])
    return [
        _plot(NAMES[key], found, key in differing)
        for key, found in statistics(doc).items()
        if found.get("null_histogram") and None not in _figures(found) and _changes(found)
    ]


def _changes(found: dict[str, Any]) -> bool:
    """False where every labelling gives the same, such as β3 of one-hot targets."""
    shown = found["null_histogram"]
    return bool(shown["low"] != shown["high"] or shown["low"] != found["observed"])


def _figures(found: dict[str, Any]) -> list[Any]:
    return [found[part] for part in ("observed", "null_median", "null_95")]


def _plot(name: str, found: dict[str, Any], differs: bool) -> dict[str, Any]:
    observed, median, limit = _figures(found)
    shown = found["null_histogram"]
    low, high, counts = shown["low"], shown["high"], shown["counts"]
    first, last = min(low, observed), max(high, observed)
    half = last / 2 - first / 2

    def at(figure: float) -> float:
        """Where a figure lies, with room for a mark at either end."""
        share = (figure / 2 - first / 2) / half if half > 0 else 0.5
        return round(1.5 + share * (_WIDTH - 3), 2)

    step = (at(high) - at(low)) / len(counts)
    top = max(counts)
    bars = [
        {
            "x": round(at(low) + number * step, 2),
            "width": round(max(step, 0.6), 2),
            "height": round(_HEIGHT * count / top, 2),
            # the middle of the bar says which side of the 95 % it is on
            "beyond": at(low) + (number + 0.5) * step > at(limit),
        }
        for number, count in enumerate(counts)
        if count
    ]
    return {
        "name": name,
        "bars": bars,
        "top": _HEIGHT,
        "observed": at(observed),
        "median": at(median),
        "differs": differs,
        # a difference of equal means is its rounding
        "first": f"{0.0 if abs(first) < 1e-12 * abs(last) else first:.3g}",
        "last": f"{last:.3g}",
        "value": f"{observed:.4g}",
        "p_value": f"{found['p_value']:.2g}",
        "label": f"{name}: observed {observed:.4g}; relabelled from {low:.4g} to {high:.4g}, median "
        f"{median:.4g}, 95 % at most {limit:.4g}",
    }
