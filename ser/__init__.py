"""Speech emotion recognition on RAVDESS: train it, check it, and use it on your own recordings."""

__version__ = "0.1.0"
