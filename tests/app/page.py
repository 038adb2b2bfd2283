"""What the tests of the page read from it and do to it."""

import json
import re
from html import unescape


def give(app, *files):
    """Upload files, given as name and content, and run the page."""
    return app.file_uploader[0].set_value([(name, content, "audio/wav") for name, content in files]).run()


def texts(app):
    """Everything that is written on the page, but the side panel."""
    kinds = ("title", "subheader", "markdown", "caption", "error", "warning", "html")
    return "\n".join(unescape(element.value) for kind in kinds for element in app.main.get(kind))


def answers(app):
    """The headlines of the answers on the page."""
    return [
        headline for html in app.html for headline in re.findall(r"<h2>(?:<span.*?></span>)?(.*?)</h2>", html.value)
    ]


def data_of(app, key):
    """What the component of that key was given; None where it is not on the page."""
    shown = app.get("bidi_component")
    return next((json.loads(one.proto.json) for one in shown if one.proto.id.endswith(f"-{key}")), None)


def rows_of(html):
    """Class, percentage and colourless length of every bar."""
    return re.findall(r'ser-name">([^<]*)</span>.*?width:([\d.]+)%.*?ser-percent">([^<]*)<', html)
