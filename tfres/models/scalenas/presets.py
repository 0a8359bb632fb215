"""Architectures of ScaleNAS: the published widths, and a small one for computers without accelerators."""

_PUBLISHED = {"resolutions": ["512x1024"], "classes": 19}

PRESETS = {
    "scalenas_w32": {**_PUBLISHED, "width": 32},
    "scalenas_w48": {**_PUBLISHED, "width": 48},
    "scalenas_w8": {**_PUBLISHED, "width": 8, "stem_width": 16, "resolutions": ["256x512"]},
}
