"""Corpora of recordings: names, tables, splits and folds, download, the synthetic corpus."""
