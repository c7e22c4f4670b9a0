"""Outlines of the eight categories, in pixels around their own origin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _circle(corners: int = 48) -> Floats:
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


def _rectangle(half_width: float, half_height: float) -> Floats:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return corners * [half_width, half_height]


def rotated(points: Floats, angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    turned: Floats = points @ np.array([[c, s], [-s, c]])
    return turned


def _triangle(rng: np.random.Generator, r: float) -> Floats:
    turn = np.array([0, 1, 2]) * 2 * np.pi / 3 + rng.uniform(-0.2, 0.2, 3)
    return np.stack([np.cos(turn), np.sin(turn)], 1) * r * 1.1


def _star(rng: np.random.Generator, r: float) -> Floats:
    turn = np.arange(10) * np.pi / 5
    lengths = np.where(np.arange(10) % 2, rng.uniform(0.42, 0.52), 1.15)
    star: Floats = np.stack([np.cos(turn), np.sin(turn)], 1) * lengths[:, None] * r
    return star


def outline(rng: np.random.Generator, name: str, r: float) -> tuple[list[Floats], list[Floats]]:
    """Filled polygons and holes of a shape of radius ``r`` pixels."""
    if name == "ball":
        return [_circle() * r], []
    if name == "ellipse":
        return [_circle() * [r * 1.15, r * rng.uniform(0.42, 0.62)]], []
    if name == "ring":
        return [_circle() * r], [_circle() * r * rng.uniform(0.42, 0.58)]
    if name == "box":
        return [_rectangle(r * 0.9, r * rng.uniform(0.6, 0.9))], []
    if name == "triangle":
        return [_triangle(rng, r)], []
    if name == "star":
        return [_star(rng, r)], []
    width = rng.uniform(0.28, 0.38)  # cross
    return [_rectangle(1, width) * r * 1.05, _rectangle(width, 1) * r * 1.05], []


def _limb(start: Floats, end: Floats, width: float) -> list[Floats]:
    along = (end - start) / (np.linalg.norm(end - start) + 1e-6)
    side = np.array([-along[1], along[0]]) * width
    bar = np.stack([start + side, end + side, end - side, start - side])
    return [bar, _circle(16) * width + start, _circle(16) * width + end]


def _step(start: Floats, length: float, angle: float) -> Floats:
    return start + length * np.array([np.sin(angle), np.cos(angle)])


def person(rng: np.random.Generator, r: float) -> tuple[list[Floats], Floats]:
    """Polygons and joints (17, 2) of a figure that faces the viewer, about 3.4 ``r`` tall.

    Its left hand is on the right of the picture.
    """
    width = r * 0.17
    head = np.array([0, -1.35 * r])
    shoulder, hip = np.array([0.36 * r, -0.85 * r]), np.array([0.24 * r, 0.25 * r])
    mirror = np.array([-1, 1])
    joints = np.zeros((17, 2))
    face = np.array([[0, 0.05], [0.13, -0.06], [-0.13, -0.06], [0.28, 0], [-0.28, 0]])
    joints[:5] = head + face * r
    torso = np.array([shoulder, shoulder * mirror, hip * mirror, hip]) * [1.15, 1]
    neck = np.array(
        [
            [-width * 0.8, -1.2 * r],
            [width * 0.8, -1.2 * r],
            [width * 0.8, -0.7 * r],
            [-width * 0.8, -0.7 * r],
        ]
    )
    parts = [_circle(32) * r * 0.32 + head, torso, neck]
    for i, side in ((0, np.array([1, 1])), (1, mirror)):
        upper_arm = rng.uniform(-0.2, 2.3)  # 0 hangs down, pi points up
        elbow = _step(shoulder, 0.55 * r, upper_arm)
        wrist = _step(elbow, 0.5 * r, upper_arm + rng.uniform(-0.3, 1.1))
        thigh = rng.uniform(-0.05, 0.6)
        knee = _step(hip, 0.62 * r, thigh)
        ankle = _step(knee, 0.62 * r, thigh + rng.uniform(-0.45, 0.15))
        arm_leg = [p * side for p in (shoulder, elbow, wrist, hip, knee, ankle)]
        joints[5 + i : 17 : 2] = arm_leg
        s, e, w, h, k, a = arm_leg
        parts += _limb(s, e, width) + _limb(e, w, width * 0.9)
        parts += _limb(h, k, width * 1.15) + _limb(k, a, width)
    return parts, joints
