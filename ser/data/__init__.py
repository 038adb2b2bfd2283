"""From recordings to batches.

`cache` makes and keeps features, `normalisation` fits their statistics, `samplers` has the batches, `datamodule` the
LightningDataModule. `files` and `workers` are light helpers that other rooms use; they bring neither torch nor
scikit-learn.
"""
