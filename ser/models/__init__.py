"""Networks as plain `torch.nn.Module`s, utterance-level heads, the recogniser round them, metadata of a model.

`networks` has a file for each network, `registry` builds a `Recogniser` from a name and settings, `metadata` has
`ModelMetadata`, the only file here that needs no torch.
"""
