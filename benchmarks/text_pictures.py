"""Seeded pictures of printed text, which is what text detectors and their classifiers read."""

from __future__ import annotations

from typing import Any

import numpy as np

TEXT = """integer network scale bias calibration report camera street hotel exit 2026 price 42.50 open closed caution
danger water station market north south main library museum bread milk"""


def text_picture(seed: int, width: int, height: int) -> Any:
    """Return a PIL image: dark words of random sizes on a bright gradient with noise; a third of the lines upside down.

    As many lines as the height has place for; a picture of one line has a single line of a third of its height or more.
    """
    from PIL import Image, ImageDraw, ImageFont

    rng = np.random.default_rng(seed)
    shade = 0.7 + 0.3 * np.linspace(0, 1, width)[None, :, None]
    paper = rng.uniform(120, 255, 3)[None, None] * np.ones((height, width, 1)) * shade
    page = Image.fromarray(paper.astype(np.uint8))
    pen = ImageDraw.Draw(page)
    lines = max(1, height // 46)
    for _ in range(lines):
        size = int(rng.integers(14, 34) if lines > 1 else rng.integers(22, 36))
        place = int(rng.integers(0, max(1, width // 3))), int(rng.integers(0, max(1, height - size - 4)))
        text = " ".join(rng.choice(TEXT.split(), int(rng.integers(1, 4))))
        ink = tuple(int(value) for value in rng.uniform(0, 110, 3))
        pen.text(place, text, fill=ink, font=ImageFont.load_default(size))
    if lines == 1 and seed % 3 == 0:
        page = page.rotate(180)
    noisy = np.asarray(page).astype(float) + rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
