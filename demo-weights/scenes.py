"""Synthetic scenes: two to six coloured shapes and stick figures on a pale background.

Everything follows from the seed: the same seed gives the same picture, labels and key points.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from shapes import Floats, outline, person, rotated

from diptych_maskrcnn.network.demo_model import DEMO_CATEGORIES

Pixels = NDArray[np.uint8]

CLASSES = ("__background__", *DEMO_CATEGORIES)
PERSON = CLASSES.index("person")
KEYPOINTS = (
    "nose",
    *("left_eye", "right_eye", "left_ear", "right_ear"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    *("left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
MIRRORED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
"""Where each key point goes when the picture is flipped left to right."""

SUPERSAMPLING = 2
TRIES = 12
SMALLEST = 200  # pixels an object must show
HELD_OUT = 10_000_000
"""First seed of the evaluation scenes; training seeds stay far below it."""


@dataclass
class Thing:
    """One object in pixels around its own origin, before it has a place in the scene."""

    category: int
    outlines: list[Floats]
    holes: list[Floats]
    joints: Floats | None  # (17, 2), people only
    reach: Floats  # (2,) largest |x| and |y|
    texture: NDArray[np.float32]  # (n, n, 3), large enough to cover the object
    dot_radius: float
    centre: Floats = field(default_factory=lambda: np.zeros(2))


@dataclass
class Scene:
    """A picture with its truth; object ``i`` has the value ``i + 1`` in ``labels``."""

    image: Pixels  # (S, S, 3)
    labels: Pixels  # (S, S), 0 is the background, visible parts only
    classes: list[int]  # 1..8, see CLASSES
    keypoints: NDArray[np.float32]  # (n, 17, 3): x, y, COCO visibility; zero unless a person


def _texture(
    rng: np.random.Generator, side: int, rgb: Sequence[float], strength: float
) -> NDArray[np.float32]:
    """A (side, side, 3) float picture 0..255 of one colour with gradient, grain, maybe stripes."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / 256
    angle = rng.uniform(0, 2 * np.pi)
    across = (x - x.mean()) * np.cos(angle) + (y - y.mean()) * np.sin(angle)
    value = np.asarray(1 + across * rng.uniform(0.2, 0.8) * strength)
    if rng.random() < 0.3:
        value = value + 0.05 * np.sin(across * 2 * np.pi * rng.uniform(8, 20))
    picture = value[..., None] * (np.array(rgb, np.float32) * 255)
    grain = rng.normal(0, rng.uniform(1, 5), (side, side, 1)).astype(np.float32)
    return np.asarray(picture + grain, np.float32)


def _background(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.18), rng.uniform(0.35, 0.95))
    return _texture(rng, size, rgb, 0.6)


def _thing(rng: np.random.Generator, category: int, hue: float, size: int) -> Thing:
    r = rng.uniform(0.12 if category == PERSON else 0.085, 0.2) * size
    joints: Floats | None = None
    holes: list[Floats] = []
    if category == PERSON:
        outlines, joints = person(rng, r)
        angle = rng.uniform(-0.2, 0.2)
        joints = rotated(joints, angle)
    else:
        outlines, holes = outline(rng, CLASSES[category], r)
        angle = rng.uniform(0, 2 * np.pi)
    outlines, holes = ([rotated(p, angle) for p in ps] for ps in (outlines, holes))
    reach = np.abs(np.concatenate(outlines)).max(0)
    rgb = colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.55, 1), rng.uniform(0.5, 0.95))
    texture = _texture(rng, int(2 * np.ceil(reach.max()) + 8), rgb, 1.0)
    return Thing(category, outlines, holes, joints, reach, texture, r * 0.07)


def _window(thing: Thing, size: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part of the picture that the object may touch."""
    points = np.concatenate(thing.outlines) + thing.centre
    x0, y0 = np.maximum(np.floor(points.min(0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(points.max(0)).astype(int) + 2, size)
    return int(x0), int(y0), int(x1), int(y1)


def _coverage(thing: Thing, window: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Share of each pixel of the window that the object covers, (h, w) in 0..1."""
    x0, y0, x1, y1 = window
    width, height = x1 - x0, y1 - y0
    picture = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    draw = ImageDraw.Draw(picture)
    for polygons, value in ((thing.outlines, 255), (thing.holes, 0)):
        for polygon in polygons:
            corners = (polygon + thing.centre - [x0, y0]) * SUPERSAMPLING
            draw.polygon([(x, y) for x, y in corners.tolist()], fill=value)
    coverage: NDArray[np.float32] = np.asarray(picture.reduce(SUPERSAMPLING), np.float32)
    return np.divide(coverage, 255, dtype=np.float32)


def _surface(thing: Thing, window: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Colours of the object over its window, (h, w, 3), with two dots for the eyes of people."""
    x0, y0, x1, y1 = window
    middle = thing.texture.shape[0] // 2
    top, left = y0 - int(thing.centre[1]) + middle, x0 - int(thing.centre[0]) + middle
    width, height = x1 - x0, y1 - y0
    surface = thing.texture[max(top, 0) :, max(left, 0) :][:height, :width]
    missing = (height - surface.shape[0], width - surface.shape[1])
    if any(missing):
        surface = np.pad(surface, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    for eye in [] if thing.joints is None else thing.joints[1:3]:
        cx, cy = eye + thing.centre - [x0, y0]
        y, x = np.mgrid[: surface.shape[0], : surface.shape[1]]
        dot = (x + 0.5 - cx) ** 2 + (y + 0.5 - cy) ** 2 < thing.dot_radius**2
        surface = np.where(dot[..., None], 25, surface).astype(np.float32)
    return surface


def render(things: list[Thing], background: NDArray[np.float32]) -> tuple[Pixels, Pixels]:
    """Paint the objects in order over the (S, S, 3) background: picture and (S, S) labels."""
    picture, labels = background.copy(), np.zeros(background.shape[:2], np.uint8)
    for number, thing in enumerate(things, 1):
        x0, y0, x1, y1 = window = _window(thing, len(background))
        if x1 - x0 < 2 or y1 - y0 < 2:
            continue
        alpha = _coverage(thing, window)
        below, shade = picture[y0:y1, x0:x1], alpha[..., None]
        picture[y0:y1, x0:x1] = below * (1 - shade) + _surface(thing, window) * shade
        labels[y0:y1, x0:x1][alpha > 0.5] = number
    return np.clip(picture, 0, 255).astype(np.uint8), labels


def _hues(rng: np.random.Generator, count: int) -> Floats:
    """Hues spread around the colour wheel, so that neighbours in a scene differ."""
    start = rng.random()
    return start + rng.permutation(count) / count + rng.uniform(-0.25, 0.25, count) / count


def _margin(thing: Thing, size: int) -> Floats:
    margin: Floats = np.minimum(thing.reach, size * 0.45) * 0.9
    return margin


def _keypoints(things: list[Thing], labels: Pixels) -> NDArray[np.float32]:
    size = len(labels)
    out = np.zeros((len(things), 17, 3), np.float32)
    for i, thing in enumerate(things):
        if thing.joints is None:
            continue
        out[i, :, :2] = thing.joints + thing.centre
        for j, (x, y) in enumerate(thing.joints + thing.centre):
            inside = 0 <= x < size and 0 <= y < size
            # a joint on the background is a rounding matter: nothing hides it
            seen = inside and labels[int(y), int(x)] in (i + 1, 0)
            out[i, j, 2] = 2 if seen else int(inside)
    out[out[..., 2] == 0] = 0
    return out


def scene(seed: int, size: int = 256, visible: float = 0.6) -> Scene:
    """The scene of ``seed``, ``size`` pixels a side; of each object at least ``visible`` shows."""
    rng = np.random.default_rng(seed)
    background = _background(rng, size)
    count = int(rng.integers(2, 7))
    hues = _hues(rng, count)
    things: list[Thing] = []
    full: list[int] = []  # pixels of each object before others covered it
    for hue in hues:
        category = int(rng.integers(1, len(CLASSES)))
        for _ in range(TRIES):
            new = _thing(rng, category, hue, size)
            margin = _margin(new, size)
            new.centre = rng.uniform(margin, size - margin)
            labels = render([*things, new], background)[1]
            *before, area = np.bincount(labels.ravel(), minlength=len(things) + 2)[1:].tolist()
            kept = all(now >= visible * was for now, was in zip(before, full, strict=True))
            if kept and area >= SMALLEST:
                things.append(new)
                full.append(area)
                break
    picture, labels = render(things, background)
    return Scene(picture, labels, [t.category for t in things], _keypoints(things, labels))


def clip(
    seed: int, frames: int = 4, size: int = 256, speed: float = 14
) -> list[tuple[Pixels, Pixels]]:
    """Pictures and labels of a scene whose objects drift ``speed`` pixels a frame and bounce."""
    rng = np.random.default_rng(seed)
    background, count = _background(rng, size), int(rng.integers(2, 5))
    hues = _hues(rng, count)
    things = [_thing(rng, int(rng.integers(1, len(CLASSES))), hue, size) for hue in hues]
    velocities = []
    for thing in things:
        margin = _margin(thing, size)
        thing.centre = rng.uniform(margin, size - margin)
        velocities.append(rng.uniform(-speed, speed, 2))
    out = []
    for _ in range(frames):
        out.append(render(things, background))
        for thing, velocity in zip(things, velocities, strict=True):
            ahead = thing.centre + velocity
            velocity[(ahead < 20) | (ahead > size - 20)] *= -1
            thing.centre = thing.centre + velocity
    return out


def crossing_clip(
    seed: int,
    frames: int = 24,
    size: int = 256,
    only: Sequence[int] | None = None,
    blink: bool = False,
) -> list[tuple[Pixels, Pixels]]:
    """Pictures and labels of two to four objects whose paths cross, so that some are hidden.

    The smallest passes behind the largest in the middle of the clip; a third object, if there is
    one, mostly leaves the picture and comes back. ``only`` picks frames to render; with ``blink``
    each object is gone for three to seven frames.
    """
    rng = np.random.default_rng(seed)
    background, count = _background(rng, size), int(rng.integers(2, 5))
    things = [_thing(rng, int(rng.integers(1, len(CLASSES))), h, size) for h in _hues(rng, count)]
    things.sort(key=lambda thing: float(thing.reach.max()))
    starts = [rng.uniform(_margin(t, size), size - _margin(t, size)) for t in things]
    speeds = [rng.uniform(-7, 7, 2) for _ in things]
    when, where = rng.uniform(0.3, 0.6) * frames, rng.uniform(0.4, 0.6, 2) * size
    angle = rng.uniform(0, 2 * np.pi)
    for i, turn in ((0, angle), (-1, angle + rng.uniform(1.2, 3.6))):
        speeds[i] = np.array([np.cos(turn), np.sin(turn)]) * rng.uniform(75, 105) / when
        starts[i] = where - speeds[i] * when
    edges = [np.full(2, 20.0) for _ in things]
    if count > 2 and rng.random() < 0.7:
        edges[1] = -1.3 * things[1].reach - 8
        speeds[1] = (starts[1] - size / 2) / np.linalg.norm(starts[1] - size / 2)
        speeds[1] *= rng.uniform(7, 12)
    gone = np.stack([rng.integers(1, frames - 2, count), rng.integers(3, 8, count)], 1) * blink
    out = []
    for number in range(frames) if only is None else only:
        for i, (thing, start, speed, edge) in enumerate(
            zip(things, starts, speeds, edges, strict=True)
        ):
            span = size - 2 * edge
            along = np.mod(start + speed * number - edge, 2 * span)
            thing.centre = edge + np.where(along < span, along, 2 * span - along)  # bounces
            if 0 <= number - gone[i, 0] < gone[i, 1]:
                thing.centre = np.full(2, 100.0 * size)
        out.append(render(things, background))
    return out
