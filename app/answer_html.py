"""The answer to a recording as HTML: what it sounds like, how sure that is, and the probabilities as bars."""

from collections.abc import Sequence
from html import escape

from app.colours import colour_of
from app.facts import KnownScores
from app.words import headline, how_often_right, how_sure, percent
from ser.inference.results import Prediction

TOP = 3
"""Classes that are shown; the rest are folded."""


def answer_html(
    prediction: Prediction, scores: Sequence[KnownScores], *, title: str = "", notes: Sequence[str] = ()
) -> str:
    """Return the answer as one `section`, styled by `app/assets/page.css`.

    Parameters
    ----------
    scores : of the model, to say how often it is right.
    title : stands above, such as the name of the recording.
    notes : remarks about the recording, each a line.
    """
    emotion, names = prediction.emotion, prediction.class_names
    filled = "ser-dot ser-open" if prediction.is_uncertain else "ser-dot"
    dot = f'<span class="{filled}" style="color:{colour_of(emotion, names)}"></span>' if emotion else ""
    right = how_often_right(scores) if emotion else ""
    lines = [
        f'<p class="ser-title">{escape(title)}</p>' if title else "",
        f"<h2>{dot}{escape(headline(prediction))}</h2>",
        f'<p class="ser-sure">{escape(how_sure(prediction))}</p>',
        f'<p class="ser-right">{escape(right)}</p>' if right else "",
        _bars(prediction),
        *(f'<p class="ser-note">{escape(note)}</p>' for note in notes),
    ]
    label = escape(f"Answer: {title}" if title else "Answer")
    return f'<section class="ser-answer" aria-label="{label}">{"".join(lines)}</section>'


def _bars(prediction: Prediction) -> str:
    """Return the most probable classes, best first, and the others folded; "" without speech."""
    ranked = prediction.top(len(prediction.class_names))
    if not ranked:
        return ""
    top, rest = ranked[:TOP], ranked[TOP:]
    html = _list(top, prediction.class_names)
    if rest:
        label = f"{len(rest)} other{'s' if len(rest) > 1 else ''}: {percent(sum(p for _, p in rest))} in all"
        html += f"<details><summary>{label}</summary>{_list(rest, prediction.class_names)}</details>"
    return html


def _list(ranked: Sequence[tuple[str, float]], class_names: Sequence[str]) -> str:
    rows = (
        f'<li><span class="ser-name">{escape(name)}</span><span class="ser-track">'
        f'<span style="width:{100 * p:.2f}%;background:{colour_of(name, class_names)}"></span></span>'
        f'<span class="ser-percent">{percent(p)}</span></li>'
        for name, p in ranked
    )
    return f'<ol class="ser-bars">{"".join(rows)}</ol>'
