"""From recordings to batches: feature cache, normalisation statistics, samplers, the LightningDataModule."""
