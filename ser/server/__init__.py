"""A web server: recordings by HTTP, and by websocket sound that is still being spoken. It needs no torch."""

from ser.server.app import create_app
from ser.server.limits import Limits

__all__ = ["Limits", "create_app"]
