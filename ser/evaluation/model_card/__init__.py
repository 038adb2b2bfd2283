"""The model card: what a model is for, whom it was trained on, and figures with their commands."""
