"""The model card: the purpose of a model, its training data, and scores with their commands."""
