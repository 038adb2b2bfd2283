"""Random changes of training recordings.

`waveform` changes sound before its features, with the `phase_vocoder`; `spectrogram` changes batches of log-mel
spectrograms; `specaugment` has masks and mixup of normalised batches.
"""
