"""The long form of the `concentrate` report: what each of its words means, and what to do next."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.concentrate import render

_WORDS = (
    (
        "path, z and w",
        "A path runs from one input coordinate (or a bias) through one unit of each layer to an "
        "output. For a given item some paths are open and some are shut: that is z, the path's input "
        "times its gates. The product of the weights on it is w. The network's output is the sum of z "
        "times w over all its paths, so for fixed gates it is a linear model in z.",
    ),
    (
        "β1",
        "Take the direction in path space along which the reference's items have more energy than "
        "the sample's, by the largest amount: that amount is β1. It is 0 where the sample covers "
        "every direction as well as the reference does. It does not look at labels.",
    ),
    (
        "β2 and ‖v‖₂",
        "How differently one path's feature goes with a target in the two sets: β2 for the worst "
        "single path, ‖v‖₂ over all paths together.",
    ),
    ("β3", "The difference of the targets' mean square; 0 for class labels."),
    (
        "p",
        "How often figures as large come about by chance: the pooled items are relabelled as sample "
        "and reference at random, and the share of relabellings with a figure at least as large is p. "
        "The size of an effect is the figure beside its median over relabellings, which is what noise "
        "alone gives at these numbers of items.",
    ),
    (
        "share of β1",
        "β1 is a sum over items: what each reference item adds along that direction, less what each "
        "sample item does. Items with large shares are what the reference has and the sample lacks; "
        "look at them first.",
    ),
    (
        "where on the input",
        "The direction of β1 weighs every path, and every path starts at an input coordinate or at a "
        "bias. The picture shows how much of the direction starts where.",
    ),
    (
        "gap and bound",
        "The gap is the risk (mean squared loss) on the reference less that on the sample. The bound "
        "is a theorem on it: β1 Σ‖w‖₂² + 2 β2 Σ‖w‖₁ + β3, one term for each way in which the two sets "
        "can differ. The tightest bound takes ‖v‖₂‖w‖₂ for an output where that is smaller. It is "
        "vacuous where it is too large to say anything about the error, which is usual: it multiplies "
        "differences of the data by the size of the weights.",
    ),
    (
        "estimated and certified",
        "Estimated: exact about these two sets, and no more than an estimate of the distribution they "
        "came from. Certified: holds for the distribution with the probability named, under the "
        "assumptions listed. That needs gates which never saw the sample (gencheck train --two-phase) "
        "and --certify.",
    ),
)


def render_explained(doc: Document) -> RenderableType:
    """The report of one `concentrate` document, with its words explained below it."""
    parts: list[RenderableType] = [
        render(doc),
        Padding(
            Rule(Text("What the words mean", style="bold"), align="left", style="dim"), (1, 0, 0, 0)
        ),
    ]
    for word, meaning in _WORDS:
        parts.append(Text(word, style="bold"))
        parts.append(Padding(Text(meaning), (0, 0, 1, 2)))
    return Group(*parts, Text("The mathematics, with sources: docs/mathematics.md", style="dim"))
