"""The runs of a cross-validation: plan, processes, what is left to do."""
