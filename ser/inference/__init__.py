"""A model and a recording in, probabilities with names out; checkpoints, pretrained models, export.

`predictor` has `Predictor`, `Prediction` and `Timeline`, and needs no torch; `checkpoint`, `export` and `torch_backend`
do.
"""
