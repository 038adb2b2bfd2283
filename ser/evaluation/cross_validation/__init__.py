"""The evaluation of a cross-validation: its record, predictions, scores and report."""
