"""Vehicles: a profile pulled across its width, with painted sides, ends and glass."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np

from icnet.base.classes import CAMVID
from icnet.street.bodies import Body
from icnet.street.canvas import Card
from icnet.street.texture import Colour, Texture, flat, to_bytes

Point = tuple[float, float, float]
VEHICLE = CAMVID.index("Vehicle")
PX_M = 90
PAINTS: tuple[Colour, ...] = (
    (150, 150, 148),
    (44, 42, 42),
    (96, 58, 40),
    (36, 32, 112),
    (176, 178, 178),
    (70, 78, 50),
    (40, 80, 120),
    (88, 86, 84),
    (60, 44, 42),
)
_GLASS: Colour = (52, 50, 48)
_TYRE: Colour = (24, 24, 25)


@dataclass(frozen=True)
class Vehicle:
    """A painted vehicle."""

    body: Body
    faces: tuple[Texture, ...]
    side: Texture
    windows: Texture

    def cards(self, at: tuple[float, float], heading: float, order: float) -> list[Card]:
        """Its surfaces, all of one painter's order, at x, y in metres and a heading in radians to the right of the y axis."""
        sin, cos = np.sin(heading), np.cos(heading)
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]).T
        corners = self._corners @ turn.T + np.array([at[0], at[1], 0.0])
        return [Card(c, texture, VEHICLE, order, gain) for c, (_, texture, gain) in zip(corners, self._sheets, strict=True)]

    @cached_property
    def _corners(self) -> np.ndarray:
        return np.array([corners for corners, _, _ in self._sheets], dtype=np.float64)

    @cached_property
    def _sheets(self) -> list[tuple[list[Point], Texture, float]]:
        """Corners in the vehicle's own axes (right, forward, up), texture and light of every surface."""
        return self._underside() + self._skin() + self._sides()

    def _underside(self) -> list[tuple[list[Point], Texture, float]]:
        """What shows under the bumpers: darkness and the treads of the tyres."""
        body, sheets = self.body, []
        for end in (-1, 1):
            at = end * (body.axles + body.wheel * 0.7)
            # Seen from its own end, the left edge of a surface is on the vehicle's left at the rear, and its right in front.
            spans = [(-0.8 * body.half_width, 0.8 * body.half_width, 0.12, 0.5, _DARK)]
            outside, inside = body.half_width - 0.06, body.half_width - 0.26
            spans += [(inside, outside, 0.0, 0.5, _TREAD), (-outside, -inside, 0.0, 0.5, _TREAD)]
            for low, high, bottom, top, texture in spans:
                left, right = (low, high) if end < 0 else (high, low)
                sheets.append(([(left, at, top), (right, at, top), (right, at, bottom), (left, at, bottom)], texture, 1.0))
        return sheets

    def _skin(self) -> list[tuple[list[Point], Texture, float]]:
        """The profile pulled across the width, from the rear bumper over the roof to the front bumper."""
        body, sheets = self.body, []
        for texture, lower, upper in zip(self.faces, body.profile[:-1], body.profile[1:], strict=True):
            low, high = body.half_width_at(lower[1]), body.half_width_at(upper[1])
            gain = 1.2 if abs(upper[0] - lower[0]) > abs(upper[1] - lower[1]) else 0.95  # the sky lights what faces up
            sheets.append(([(-high, *upper), (high, *upper), (low, *lower), (-low, *lower)], texture, gain))
        return sheets

    def _sides(self) -> list[tuple[list[Point], Texture, float]]:
        body = self.body
        frame = [body.profile[point] for point in body.frame]
        frame[2:] = [(forward, up - 0.06) for forward, up in frame[2:]]  # laps over the panel below: no gap between them
        sheets: list[tuple[list[Point], Texture, float]] = []
        for aside, panel, windows in ((1, self.side, self.windows), (-1, self.side.mirrored(), self.windows.mirrored())):
            reach, width = body.half_length, aside * body.half_width
            lower = [(width, -reach, body.belt), (width, reach, body.belt), (width, reach, 0.0), (width, -reach, 0.0)]
            upper = [(aside * body.half_width_at(up), forward, up) for forward, up in frame]
            for corners, texture in ((lower, panel), (upper, windows)):
                if aside < 0:  # seen from the left, the front is on the left
                    corners = [corners[1], corners[0], corners[3], corners[2]]
                sheets.append((corners, texture, 1.0))
        return sheets


_DARK, _TREAD = flat((20, 20, 20)), flat(_TYRE)


def paint_vehicle(body: Body, paint: Colour) -> Vehicle:
    """Paint a vehicle of that shape in that colour."""
    kinds = {
        "bumper": _bumper(paint),
        "rear": _rear(paint),
        "glass": _screen(paint),
        "paint": _panel(paint),
        "front": _front(paint),
    }
    faces = tuple(kinds[name] for name in body.faces)
    return Vehicle(body, faces, _side_panel(body, paint), _windows(body, paint))


def _sheet(size_hw: tuple[int, int], colour: Colour, top: float = 1.15, bottom: float = 0.7) -> np.ndarray:
    """(h, w, 3) uint8 paint that reflects the sky above and the road below."""
    light = np.linspace(top, bottom, size_hw[0], dtype=np.float32)[:, None, None]
    return to_bytes(np.broadcast_to(light * np.array(colour, dtype=np.float32), (*size_hw, 3)))


def _panel(paint: Colour) -> Texture:
    return Texture(_sheet((24, 48), paint, 1.25, 1.1))


def _bumper(paint: Colour) -> Texture:
    image = _sheet((24, 150), paint, 0.9, 0.45)
    cv2.rectangle(image, (0, 16), (150, 24), (34, 34, 34), -1)
    return Texture(image)


def _screen(paint: Colour) -> Texture:
    image = _sheet((60, 150), paint, 1.1, 0.9)
    glass = _sheet((60, 150), _GLASS, 1.9, 0.8)
    mask = np.zeros((60, 150), dtype=np.uint8)
    cv2.fillPoly(mask, [np.array([[9, 5], [141, 5], [144, 54], [6, 54]])], 255)
    image[mask > 0] = glass[mask > 0]
    return Texture(image)


def _rear(paint: Colour) -> Texture:
    image = _sheet((70, 150), paint)
    for left in (3, 119):
        cv2.rectangle(image, (left, 8), (left + 28, 34), (36, 32, 140), -1, cv2.LINE_AA)
        cv2.rectangle(image, (left + 4, 24), (left + 24, 33), (70, 120, 170), -1, cv2.LINE_AA)
    cv2.rectangle(image, (48, 38), (102, 52), (60, 160, 178), -1)
    cv2.rectangle(image, (54, 42), (96, 48), (50, 60, 60), -1)
    cv2.line(image, (0, 58), (150, 58), (40, 40, 40), 2)
    return Texture(image)


def _front(paint: Colour) -> Texture:
    image = _sheet((50, 150), paint)
    cv2.rectangle(image, (42, 10), (108, 24), (30, 30, 30), -1)
    for left in (4, 114):
        cv2.rectangle(image, (left, 6), (left + 32, 26), (176, 178, 176), -1, cv2.LINE_AA)
        cv2.circle(image, (left + 16, 16), 8, (222, 224, 222), -1, cv2.LINE_AA)
    cv2.rectangle(image, (50, 32), (100, 45), (200, 202, 200), -1)
    cv2.rectangle(image, (56, 36), (94, 41), (60, 60, 60), -1)
    return Texture(np.ascontiguousarray(image[::-1, ::-1]))  # the profile runs downwards here


def _windows(body: Body, paint: Colour) -> Texture:
    """The frame of the side windows, rear on the left."""
    width = 180
    image = _sheet((60, width), paint, 1.2, 0.95)
    glass = _sheet((60, width), _GLASS, 1.7, 0.75)
    for left, right in pairwise(round(post * width) for post in body.posts):
        image[8:56, left + 3 : right - 2] = glass[8:56, left + 3 : right - 2]
    return Texture(image)


def _side_panel(body: Body, paint: Colour) -> Texture:
    """The side below the windows, rear on the left, with wheels and arches; its outline follows the profile."""
    top, reach = body.belt, body.half_length
    height = round(top * PX_M)
    width = round(2 * reach * PX_M)

    def pixel(forward: float, up: float) -> tuple[int, int]:
        return round((forward + reach) * PX_M), round((top - up) * PX_M)

    image, alpha = _sheet((height, width), paint, 1.2, 0.5), np.zeros((height, width), dtype=np.uint8)
    outline = [pixel(forward, min(up, top)) for forward, up in body.profile]
    cv2.fillPoly(alpha, [np.array(outline)], 255, cv2.LINE_AA)
    shine = pixel(0, top * 0.8)[1]
    cv2.line(image, (0, shine), (width, shine), tuple(min(255.0, 1.35 * value) for value in paint), 3, cv2.LINE_AA)
    cv2.line(image, (0, pixel(0, 0.42)[1]), (width, pixel(0, 0.42)[1]), (36, 36, 36), 4, cv2.LINE_AA)
    groove = tuple(0.45 * value for value in paint)
    for door in (-0.62, 0.22, 1.0):
        cv2.line(image, pixel(door * reach / 2, top), pixel(door * reach / 2, 0.35), groove, 1, cv2.LINE_AA)
    for axle in (-body.axles, body.axles):
        hub, radius = pixel(axle, body.wheel), round(body.wheel * PX_M)
        cv2.circle(image, hub, round(radius * 1.18), (18, 18, 18), -1, cv2.LINE_AA)
        for canvas, colour in ((image, _TYRE), (alpha, 255)):
            cv2.circle(canvas, hub, radius, colour, -1, cv2.LINE_AA)
        cv2.circle(image, hub, round(radius * 0.62), (128, 128, 126), -1, cv2.LINE_AA)
        cv2.circle(image, hub, round(radius * 0.2), (70, 70, 70), -1, cv2.LINE_AA)
    return Texture(image, alpha)
