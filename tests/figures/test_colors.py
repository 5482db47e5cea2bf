"""The colours: colour-blind readers can tell them apart, and all text in them or on them is legible.

Dichromats by Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency"
(IEEE TVCG 15, 2009), severity 1; differences are CIE 1976 ΔE*ab, of which 2.3 is just noticeable (Mahy et al., 1994).
"""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps

from mir_tf.app import server
from mir_tf.figures import style
from mir_tf.figures.colors import CLASS_COLORS, SPLIT_COLORS, color_of
from mir_tf.reports import page
from mir_tf.vocabulary import VOCABULARIES

VISION = {
    "trichromat": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanope": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# sRGB to XYZ, and the white of D65: IEC 61966-2-1.
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = XYZ.sum(axis=1)


def linear(color: str) -> np.ndarray:
    """Return ``#rrggbb`` as linear red, green and blue."""
    channels = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(color: str, vision: str) -> np.ndarray:
    """Return CIE L*a*b* of a colour as a person with this vision sees it."""
    ratios = XYZ @ np.clip(np.array(VISION[vision]) @ linear(color), 0, 1) / WHITE
    lightness = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * lightness[1] - 16, 500 * (lightness[0] - lightness[1]), 200 * (lightness[1] - lightness[2])])


def difference(one: str, other: str, vision: str) -> float:
    return float(np.linalg.norm(lab(one, vision) - lab(other, vision)))


def contrast(one: str, other: str) -> float:
    """Return the contrast by WCAG 2.2."""
    low, high = sorted(float(linear(color) @ (0.2126, 0.7152, 0.0722)) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_difference_and_contrast_know_black_white_and_a_confusion() -> None:
    assert difference("#000000", "#ffffff", "trichromat") == pytest.approx(100, abs=0.01)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    red, green = "#c00000", "#4f7000"
    assert difference(red, green, "trichromat") > 2 * difference(red, green, "deuteranope")


@pytest.mark.parametrize("vision", VISION)
def test_neighbours_stay_apart(vision: str) -> None:
    for one, other in itertools.pairwise(CLASS_COLORS):
        assert difference(CLASS_COLORS[one], CLASS_COLORS[other], vision) > 18, (one, other)
    for one, other in itertools.combinations(SPLIT_COLORS.values(), 2):
        assert difference(one, other, vision) > 18


def test_all_classes_stay_apart_for_most() -> None:
    for one, other in itertools.combinations(CLASS_COLORS, 2):
        assert difference(CLASS_COLORS[one], CLASS_COLORS[other], "trichromat") > 24, (one, other)


def test_every_class_is_visible_on_white_and_in_both_themes_of_the_app() -> None:
    """Graphics need a contrast of 3 (WCAG 2.2, 1.4.11)."""
    sheet = (Path(server.__file__).parent / "static" / "style.css").read_text("utf-8")
    grounds = re.findall(r"--(?:paper|lane|raised): light-dark\((#\w+), (#\w+)\)", sheet)
    assert len(grounds) == 3
    for ground, (name, color) in itertools.product(["#ffffff", *itertools.chain(*grounds)], CLASS_COLORS.items()):
        assert contrast(color, ground) >= 3, (name, ground)


def test_text_in_cells_is_legible() -> None:
    for share in np.linspace(0, 1, 101):
        ground = colormaps["Blues"](share)
        ink = {"black": "#000000", "white": "#ffffff"}[style.readable_ink(ground)]
        assert contrast(ink, "#" + "".join(f"{round(255 * channel):02x}" for channel in ground[:3])) >= 4.5
    assert contrast(style.INK, "#ffffff") >= 7


def test_the_page_is_legible_in_both_themes_and_on_paper() -> None:
    template = (Path(page.__file__).parent / "templates" / "page.html").read_text("utf-8")
    schemes = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", rule)) for rule in re.findall(r":root \{[^}]*\}", template)]
    assert len(schemes) == 3
    for scheme in schemes:
        for text, ground in itertools.product(("ink", "faint", "link"), ("ground", "card")):
            assert contrast(scheme[text], scheme[ground]) >= 4.5, (scheme, text, ground)


def test_every_class_has_the_colour_of_its_family() -> None:
    family = VOCABULARIES["family"]
    assert tuple(CLASS_COLORS) == family.classes
    assert len(set(CLASS_COLORS.values())) == 17
    assert [color_of("family", index) for index in range(17)] == list(CLASS_COLORS.values())
    for name, vocabulary in VOCABULARIES.items():
        for program, index in enumerate(vocabulary.class_of):
            if index is not None and vocabulary.class_of.index(index) == program:
                assert color_of(name, index) == CLASS_COLORS[family.classes[family.class_of[program]]]
