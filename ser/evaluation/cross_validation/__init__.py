"""What the runs of a cross-validation predicted, and one table of it all."""
