"""A network a file. The name of the file is the name of the network in the metadata of models.

A network is a `torch.nn.Module`, and each file here names its own as `NETWORK`. Called with `n_features`, `n_classes`
and its settings by name, it maps normalised features, float32 [batch, features, frames], and lengths, int64 [batch], to
logits, float32 [batch, classes], alone or with attention weights, float32 [batch, frames']. Two attributes of the class
say what it takes:

per_band : features normalised per band, for inputs of any length; else, and where there is no such attribute, per
    coefficient, padding included, for inputs of exactly `max_length` frames (see `ser.models.normalisation`).
min_frames : the fewest frames that it can take; 1 where there is no such attribute.

A network that takes speaker context (`ser.models.context`) has the attribute `n_summary`, of an instance: the values of
the summary of a recording. It is called with features that are not normalised, all rows of them, lengths and contexts,
float32 [batch, 1 + 2 * n_summary], and returns logits, attention weights, and summaries, float32 [batch, n_summary].
It may have a method `of_summary`, from summaries and contexts to logits, by which many contexts are scored at once.
"""
