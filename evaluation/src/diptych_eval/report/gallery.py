"""The pictures of the report: truth, answers, and a wipe between two of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from ..model import Clip, Dataset, Picture
from ..results import Answer, Figures
from . import drawing
from .charts import dot
from .drawing import Shape, Small, Subject
from .markup import Markup, join, short, tag
from .ranking import Ranked, Ranking
from .sections import look_of, section
from .words import name_of, written

Answers = Mapping[str, Mapping[str, Mapping[str, Answer]]]

_COLORS = 12


@dataclass
class Gallery:
    """Draws pictures into so many bytes, each picture once."""

    figures: Figures
    dataset: Dataset
    answers: Answers
    budget: int
    """Bytes of all pictures and outlines together."""
    waiting: int = 0
    """Pictures that are still to share the budget."""
    ids: dict[str, str] = field(default_factory=dict)
    """Name of a picture that is drawn already to the id of its figure."""

    def draw(self, rankings: Sequence[Ranking]) -> Markup:
        """Draw the pictures of all rankings."""
        wanted = [*(each.differing for each in rankings), *(each.worst for each in rankings)]
        self.waiting = len({ranked.name for part in wanted for ranked in part})
        return join(self._ranking(each, index) for index, each in enumerate(rankings))

    def _ranking(self, ranking: Ranking, index: int) -> Markup:
        what = "clips" if ranking.family.task == "video" else "pictures"
        figure = name_of(ranking.figure)
        many = "models do" if len(self.figures.models) > 1 else "model does"
        parts: list[Markup] = []
        for title, key, members in (
            ("Where the models differ most", "differ", ranking.differing),
            (f"Where the {many} worst", "worst", ranking.worst),
        ):
            if members:
                drawn = [self._one(each, ranking) for each in members]
                said = f"The first {len(members)} {what} by {figure}."
                about = tag("p", said, class_="soft")
                clips = " in clips" if what == "clips" else ""
                parts.append(section(title + clips, about, drawn, id=f"{key}-{index}"))
        return join(parts)

    def _one(self, ranked: Ranked, ranking: Ranking) -> Markup:
        title = tag("h3", short(ranked.name))
        values = self._values(ranked)
        if ranked.name in self.ids:
            above = tag("a", "Shown above", href=f"#{self.ids[ranked.name]}")
            return tag(
                "article",
                title,
                values,
                tag("p", above),
                class_="subject again",
                data_name=ranked.name,
            )
        key = f"p{len(self.ids)}"
        self.ids[ranked.name] = key
        share = self.budget // max(self.waiting, 1)
        self.waiting -= 1
        drawn = self._panels(ranked, ranking, key, share)
        self.budget -= len(drawn.encode())
        return tag("article", title, values, drawn, class_="subject", id=key, data_name=ranked.name)

    def _values(self, ranked: Ranked) -> Markup:
        said = [
            tag(
                "li", dot(look_of(self.figures, model)), f" {model} {written(ranked.figure, value)}"
            )
            for model, value in ranked.values
        ]
        return tag("ul", said, class_="legend")

    def _panels(self, ranked: Ranked, ranking: Ranking, key: str, share: int) -> Markup:
        found = drawing.found_in(self.dataset, ranked.name)
        if found is None:
            return tag("p", "Not in the data set that is at hand.", class_="soft")
        try:
            subject = drawing.subject_of(found)
            # The rest is for outlines, up to four times as many as fit well.
            small = drawing.small_picture(subject, int(share * 0.7))
        except (OSError, ValueError, IndexError, Image.DecompressionBombError) as error:
            # The path of a file is of this machine; its name stands above.
            why = getattr(error, "strerror", None) or error
            return tag("p", f"Cannot be shown: {why}", class_="soft")
        if small is None:
            return tag("p", "Left out, so that the report stays small.", class_="soft")
        layers = self._layers(found, subject, small, ranked, ranking)
        return _figure(key, small, _within(layers, share - len(small.uri)))

    def _layers(
        self,
        found: Picture | Clip,
        subject: Subject,
        small: Small,
        ranked: Ranked,
        ranking: Ranking,
    ) -> list[tuple[str, list[Shape]]]:
        names = {each.id: each.name for each in self.dataset.categories}
        truth = drawing.truth_shapes(found, subject, names)
        layers = [("Truth", drawing.shapes(truth, subject, small))]
        shown = {ranked.worse, ranked.better}
        for model in [each.model_id for each in self.figures.models if each.model_id in shown]:
            answer = self._answer(model, ranking.family.task, ranked.name)
            if answer is not None:
                drawn = drawing.answer_shapes(answer, subject, names)
                layers.append((model, drawing.shapes(drawn, subject, small)))
        return layers

    def _answer(self, model: str, task: str, name: str) -> Answer | None:
        by_task = self.answers.get(model, {})
        for each in dict.fromkeys((task, "instances", "boxes")):
            answer = by_task.get(each, {}).get(name)
            if answer is not None and ("segments" in answer.value or "frames" in answer.value):
                return answer
        return None


def _within(
    layers: list[tuple[str, list[Shape]]], most_bytes: int
) -> list[tuple[str, list[Shape]]]:
    """Leave out the last shapes of layers that need more bytes than there are."""
    each = most_bytes // max(len(layers), 1)
    fitting = []
    for name, found in layers:
        kept, used = [], 0
        for shape in found:
            used += len(shape.path) + len(shape.label) + 60
            if used <= each:
                kept.append(shape)
        fitting.append((name, kept))
    return fitting


def _figure(key: str, small: Small, layers: Sequence[tuple[str, list[Shape]]]) -> Markup:
    """Lay out one panel a layer, and a wipe where there are two answers."""
    box = f"0 0 {small.width} {small.height}"
    image = tag("image", href=small.uri, width=small.width, height=small.height, id=f"{key}i")
    panels = []
    for index, (name, found) in enumerate(layers):
        # The first panel holds the picture, the others refer to it.
        ground = image if index == 0 else _use(f"{key}i")
        shapes = tag("g", _drawn(found), id=f"{key}l{index}")
        label = f"{name}: {_counted(found)}"
        svg = tag("svg", ground, shapes, viewBox=box, role="img", aria_label=label)
        panels.append(tag("figure", svg, tag("figcaption", label)))
    if len(layers) == 3:
        panels.append(_wipe(key, small, [name for name, _ in layers[1:]]))
    return tag("div", panels, class_="panels")


def _wipe(key: str, small: Small, names: Sequence[str]) -> Markup:
    width, height = small.width, small.height
    left, right = names
    clip_left = tag("rect", x=0, y=0, width=width / 2, height=height, class_="left")
    clip_right = tag("rect", x=width / 2, y=0, width=width / 2, height=height, class_="right")
    parts = [
        tag("clipPath", clip_left, id=f"{key}a"),
        tag("clipPath", clip_right, id=f"{key}b"),
        _use(f"{key}i"),
        tag("g", _use(f"{key}l1"), clip_path=f"url(#{key}a)"),
        tag("g", _use(f"{key}l2"), clip_path=f"url(#{key}b)"),
        tag("line", x1=width / 2, x2=width / 2, y1=0, y2=height, class_="edge"),
    ]
    label = f"Wipe: {left} on the left, {right} on the right"
    svg = tag("svg", parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=label)
    slider = tag(
        "input",
        type="range",
        min=0,
        max=100,
        value=50,
        hidden=True,
        aria_label=f"Where {left} ends",
    )
    caption = tag("figcaption", f"{left} | {right}")
    return tag("figure", svg, slider, caption, class_="wipe", data_width=width)


def _use(id: str) -> Markup:
    return tag("use", href=f"#{id}")


def _counted(found: Sequence[Shape]) -> str:
    return "1 object" if len(found) == 1 else f"{len(found)} objects"


def _drawn(found: Iterable[Shape]) -> list[Markup]:
    drawn = []
    for each in found:
        look = f"c{each.color % _COLORS}" + ("" if each.filled else " hollow")
        drawn.append(tag("path", tag("title", each.label), d=each.path, class_=look))
    return drawn
