"""A model and a sound in, probabilities with names out; checkpoints, pretrained models, export."""
