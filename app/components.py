"""The parts of the page that need JavaScript of their own; their code is in `app/assets/`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from streamlit.components import v2

ASSETS = Path(__file__).parent / "assets"


def show_player_line(data: Mapping[str, Any], *, key: str) -> None:
    """Show `player_data` of `app.player`; it follows and drives the audio in the same container of key "player-…"."""
    _player(key=key, data=dict(data))


def show_table_rows(data: Mapping[str, Any], *, key: str, on_opened: Callable[[], None]) -> None:
    """Show `table_data` of `app.table`; `on_opened` is called when a row is clicked: `st.session_state[key].opened`."""
    _table(key=key, data=dict(data), on_opened_change=on_opened)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


_player = v2.component(
    "ser.player", html='<div class="player"></div>', css=_asset("player.css"), js=_asset("player.js")
)
_table = v2.component("ser.table", html='<div class="table"></div>', css=_asset("table.css"), js=_asset("table.js"))
