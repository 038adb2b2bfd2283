"""Corpora: the grammar of file names, the table of recordings, splits and folds, download, the synthetic corpus."""
