"""What figures are called, how they are written, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass

from ..results import Value

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


@dataclass(frozen=True)
class Family:
    """Figures that have the first part of their name in common."""

    key: str
    title: str
    adjective: str
    """Before the rest of the name: ``"mask"`` makes ``segm/AP`` "mask AP"."""
    main: tuple[str, ...]
    """Figures by which models are judged; the first that there is counts."""
    ranking: tuple[str, ...]
    """Figures by which pictures are ranked, likewise."""
    task: str
    """Whose answers are drawn: a value of ``EvaluationTask``."""
    reading: str
    """How to read its figures, in a few sentences."""


_AP = (
    "AP is the area under the curve of precision over recall, averaged over classes and over IoU "
    "thresholds from .50 to .95 (COCO). AP50 and AP75 take one threshold: AP50 asks whether an "
    "object is found at all, AP75 whether its outline is close. AR100 is the share of objects "
    "found among the 100 best answers of a picture. Small is below 32² pixels, large above 96². "
    "F1 is taken at the score where it is best. ECE is how far scores are from the share that is "
    "right: 0 is best. PQ is how well matched objects overlap, times how many are matched. "
)

FAMILIES = (
    Family(
        "segm", "Masks", "mask", ("AP",), ("PQ", "IoU"), "instances",
        _AP + "Pictures are ranked by PQ.",
    ),
    Family(
        "bbox", "Boxes", "box", ("AP",), ("PQ", "IoU"), "boxes",
        _AP + "Compared by boxes, not masks.",
    ),
    Family(
        "boundary", "Outlines", "boundary", (), (), "instances",
        "As AP, but the overlap is counted in a band along the outline (2 % of the diagonal), so "
        "that a large object with a rough edge does not pass.",
    ),
    Family(
        "keypoints", "Key points", "key point", ("AP",), ("OKS",), "keypoints",
        "As AP, with object key point similarity in place of IoU: how far points are from the "
        "truth, in proportion to the object's size.",
    ),
    Family(
        "agnostic", "Any object", "class-agnostic", ("AR100", "AR1000", "AR10"), ("PQ", "recall"),
        "instances",
        "Classes do not count. Only AR is given: a model that outlines everything is right to find "
        "things that nobody labelled, so precision would say nothing.",
    ),
    Family(
        "agnostic-bbox", "Any object, by boxes", "class-agnostic box", ("AR100", "AR1000", "AR10"),
        ("PQ", "recall"), "boxes", "As for any object, compared by boxes.",
    ),
    Family(
        "prompted", "Prompted", "prompted", ("mIoU@3", "mIoU@1", "box-mIoU", "NoC20@85"),
        ("box-mIoU", "mIoU@1", "mIoU@3"), "prompted",
        "Every labelled object is asked for with a box, then with clicks by a simulated user who "
        "clicks where the answer is most wrong (RITM). mIoU@3 is the mean IoU after three clicks. "
        "NoC20@85 is how many clicks an IoU of .85 takes, at most 20; failures20@85 is the "
        "share of objects that do not get there. A model that takes one click only has no figures "
        "for more.",
    ),
    Family(
        "semantic", "Classes of pixels", "semantic", ("mIoU",), ("mIoU",), "instances",
        "Answers are painted by class, the surest on top; IoU is taken over all pixels of a class "
        "and averaged over classes.",
    ),
    Family(
        "video", "Video", "video", ("J&F", "J", "F"), ("J&F", "J"), "video",
        "Objects are given in their first frame and followed. J is the IoU of the masks, F the "
        "match of their outlines, J&F the mean of both (SA-V, DAVIS).",
    ),
    Family(
        "agreement", "Agreement as evidence", "agreement", (), (), "instances",
        "How far a second model's agreement tells right answers from wrong ones, without truth. "
        "AUROC is the chance that a right answer has more of it than a wrong one: .5 is a coin, 1 "
        "is perfect.",
    ),
    Family(
        "cost", "Cost", "", (), (), "",
        "Service is the time in the model service, wall the time that the client waited. p95: 95 "
        "of 100 answers took no longer. Times hold for this machine and this load only.",
    ),
)  # fmt: skip
_BY_KEY = {family.key: family for family in FAMILIES}

INTERVALS = (
    "Brackets hold the 95 % interval: pictures are drawn again with replacement, the same ones for "
    "both models, and the figures computed anew. Where 0 is inside, these pictures show no "
    "difference; that is not the same as showing that there is none. Of 20 differences, one would "
    "be outside by chance alone. Pictures won, even and lost are counted by PQ where the figure "
    "is an AP or AR, else by the figure itself."
)


def family_of(figure: str) -> Family:
    """Find what a figure belongs to; one of its own where nobody planned for it."""
    key = figure.partition("/")[0]
    known = _BY_KEY.get(key)
    return known or Family(key, key, key, (), (), "", "")


def families_in(figures: set[str]) -> list[Family]:
    """List the families that there are, known ones in their order, then the others by name."""
    keys = {figure.partition("/")[0] for figure in figures}
    others = sorted(keys - set(_BY_KEY))
    return [each for each in FAMILIES if each.key in keys] + [family_of(key) for key in others]


def name_of(figure: str) -> str:
    """Say a figure's name in a sentence: ``segm/AP50`` is "mask AP50"."""
    rest = figure.partition("/")[2] or figure
    if figure.startswith("cost/"):
        rest = rest.removesuffix("-s").removesuffix("-bytes").replace("-", " ")
        return f"{rest} time" if figure.endswith("-s") else rest
    return f"{family_of(figure).adjective} {short_name(figure)}"


def short_name(figure: str) -> str:
    """Say a figure's name below its family's title: ``prompted/box-mIoU`` is "mIoU, box"."""
    rest = figure.partition("/")[2] or figure
    if rest == "box-mIoU":
        return "mIoU from a box"
    return rest.replace("AP-", "AP, ").replace("AR-", "AR, ")


def titled(name: str) -> str:
    """Say the name of a chart or table: "segm confusion" is "Mask confusion"."""
    key, _, rest = name.partition(" ")
    said = f"{_BY_KEY[key].adjective} {rest}" if key in _BY_KEY and rest else name
    return said[:1].upper() + said[1:]


def lower_is_better(figure: str) -> bool:
    """Whether less of a figure is more."""
    rest = figure.partition("/")[2]
    return figure.startswith("cost/") or rest.startswith(("NoC", "failures", "ECE"))


def unit_of(figure: str) -> str:
    """Tell which figures may share an axis: ``"share"``, ``"s"``, ``"bytes"`` or ``"count"``."""
    if figure.endswith("-s"):
        return "s"
    if "bytes" in figure:
        return "bytes"
    rest = figure.partition("/")[2]
    return "count" if rest.startswith("NoC") or figure.startswith("cost/") else "share"


def written(figure: str, value: float) -> str:
    """Write a figure's value: ``.737``, ``3.27``, ``0.42 s``, ``1.3 MB``."""
    unit = unit_of(figure)
    if unit == "s":
        return f"{value:.3g} s" if abs(value) < 100 else f"{value:.0f} s"
    if unit == "bytes":
        return _bytes(value)
    if unit == "count":
        return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"
    return share(value)


def share(value: float) -> str:
    """Write a share with three decimals and no zero before the point."""
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def signed(figure: str, value: float) -> str:
    """Write a difference, with a true minus: ``+.083``."""
    text = written(figure, abs(value))
    nothing = not any(digit in text for digit in "123456789")
    return text if nothing else f"{'+' if value > 0 else MINUS}{text}"


def interval(figure: str, low: float, high: float, *, sign: bool = False) -> str:
    """Write an interval: ``[.70, .77]``, or ``[+.056, +.112]`` of a difference."""
    write = signed if sign else written
    return f"[{write(figure, low)}, {write(figure, high)}]"


def with_interval(figure: str, value: Value) -> str:
    """Write a value with its interval, or a dash where there is none."""
    if value.value is None:
        return NONE
    text = written(figure, value.value)
    if value.low is None or value.high is None:
        return text
    return f"{text} {interval(figure, value.low, value.high)}"


def _bytes(value: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
