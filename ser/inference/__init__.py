"""A model and a recording in, probabilities with names out; checkpoints, pretrained models, export.

`predictor` has `Predictor`, `context` has `SpeakerContext`, `results` has `Prediction` and `Failure`, and they need no
torch; `checkpoint`, `export` and `torch_backend` do.
"""
