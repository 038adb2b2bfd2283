"""A waveform to acoustic features, frame by frame."""
