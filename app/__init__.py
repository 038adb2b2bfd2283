"""The web app, on top of `ser.inference.predictor`: `app.py` is the entry, the other files are parts of the page."""
