"""Random changes of training recordings: waveforms, log-mel spectrograms, batches."""
