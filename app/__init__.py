"""The web app: a face on `ser.predictor`. `app.py` is the page; the other files are its parts, one idea each."""
