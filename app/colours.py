"""The colour of a class, the same in bars, parts and tables, and visible on a light page as on a dark one."""

from collections.abc import Sequence

from ser.eda.palette import EMOTION_COLOURS, OKABE_ITO

COLOURS = {**EMOTION_COLOURS, "neutral": "#808080"}
"""Those of the figures, but grey for their black, which a dark page would swallow."""


def colour_of(class_name: str, class_names: Sequence[str]) -> str:
    """Return the colour of a class: RAVDESS's are always the same, others take turns at those that are left.

    Parameters
    ----------
    class_names : all of the model.
    """
    if class_name in COLOURS:
        return COLOURS[class_name]
    others = [name for name in class_names if name not in COLOURS]
    taken = {COLOURS[name] for name in class_names if name in COLOURS}
    free = [colour for colour in OKABE_ITO[1:] if colour not in taken] or OKABE_ITO[1:]
    return free[others.index(class_name) % len(free)]
