"""Cross-validation: the plan of its runs, and their training."""
