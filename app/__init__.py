"""The web app: a face on `ser.inference.predictor`. `app.py` is the page; the other files are its parts."""
