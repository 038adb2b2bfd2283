"""A whole cross-validation: a training run for each fold and seed, and one table of what they say together."""
