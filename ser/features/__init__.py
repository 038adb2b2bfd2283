"""A waveform to acoustic features, frame by frame.

`settings` has `FeatureSettings`, `groups` the registry of feature groups, `extract` the computation, `pipeline` the one
way from a file to the input of a network. `validation` reads the settings of all rooms.
"""
