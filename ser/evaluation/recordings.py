"""The recordings that a model's run was made from, and what is known of others: whether it was trained on them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser.corpora.manifest import CHANNELS, Recording
from ser.corpora.ravdess import corpus_root
from ser.corpora.reading import MANIFEST, SYNTHETIC, corpus_in, find_reader, find_recordings, reader_names
from ser.corpora.selection import DataSettings
from ser.corpora.several import locate_corpora, prefixed, read_corpora
from ser.errors import CorpusError
from ser.models.metadata import ModelMetadata

_MOST_NAMES = 12


def corpus_of(metadata: ModelMetadata, *, root: str | None = None) -> Path:
    """Return the folder, or manifest, of a model's corpus: `root`, else where it was, else where `train.py` looks."""
    at_training = metadata.corpus_root if metadata.corpus_root and Path(metadata.corpus_root).exists() else None
    return corpus_root(root or at_training, default=Path("data/ravdess"))[0]


def recordings_of_run(
    metadata: ModelMetadata, *, root: str | None = None, label_map: Mapping[str, str | None] | None = None
) -> tuple[list[Recording], str]:
    """Return all recordings of the corpora of a model's run, and where they lie.

    Parameters
    ----------
    root : the folder of the corpus; of several, the folder that holds each by its name. None: where they were, else
        where `train.py` looks.
    label_map : label -> name of the class, or None, which leaves the recording out; None: that of the run.

    Raises
    ------
    CorpusError : a corpus is not there, or not as it should be.
    """
    corpus, of_run = corpus_in(metadata.configuration)
    label_map = of_run if label_map is None else label_map
    if not metadata.corpora:
        place = corpus_of(metadata, root=root)
        return find_recordings(place, corpus, label_map=label_map), str(place)
    places = {name: _place(name, at_training, root) for name, at_training in metadata.corpora.items()}
    for name, found in places.items():
        if found is None and name not in (*reader_names(), SYNTHETIC):
            at_training = metadata.corpora[name] or "an unknown place"
            raise CorpusError(
                f"The manifest of the run's corpus {name!r} was {at_training} and is not there; bring it back, or name "
                "what to score by test_dir or corpora."
            )
    return read_several(places, label_map=label_map, data_dir=Path(root or "data"))


def _place(name: str, at_training: str, root: str | None) -> str | None:
    below_root = [] if root is None else [str(Path(root) / name)]
    return next((place for place in (*below_root, at_training) if place and Path(place).exists()), None)


def read_several(
    corpora: Mapping[str, str | None] | Sequence[str],
    *,
    label_map: Mapping[str, str | None] | None = None,
    data_dir: Path = Path("data"),
) -> tuple[list[Recording], str]:
    """Return the recordings of several corpora, and where they lie; parameters are as in `data` of a training.

    Raises
    ------
    CorpusError : a corpus is not there, or not as it should be.
    SettingsError : a name is no corpus, or `label_map` names a label that no recording has.
    """
    named = dict(corpora) if isinstance(corpora, Mapping) else tuple(corpora)
    settings = DataSettings(corpora=named, label_map=dict(label_map) if label_map else None, download=False)
    places = locate_corpora(settings, data_dir=data_dir)
    return read_corpora(settings, places), ", ".join(f"{name} ({place})" for name, place in places.items())


def trained_corpora(metadata: ModelMetadata) -> tuple[str, ...]:
    """Return the names of the corpora that a model was trained on; none where it was a manifest, or an own reader."""
    data = _data_of(metadata)
    if has_own_reader(metadata):
        return ()
    if several := data.get("corpora"):
        left_out = data.get("test_corpora") or ()
        return tuple(str(name) for name in several if name not in left_out)
    corpus, _ = corpus_in(metadata.configuration)
    return () if corpus == MANIFEST else (corpus,)


def has_own_reader(metadata: ModelMetadata) -> bool:
    """Whether a reader of one's own found the recordings that the model was trained on."""
    return _data_of(metadata).get("reader") is not None


def describe_overlap(metadata: ModelMetadata, recordings: Sequence[Recording], *, are_prefixed: bool = False) -> str:
    """Return what the model was trained on, and which of the scored recordings may be among it, in a few sentences.

    Parameters
    ----------
    are_prefixed : whether ids and speakers have the names of their corpora before them, as those of several corpora.
    """
    trained = trained_corpora(metadata)
    is_same = [_may_be_of(trained, one) for one in recordings]
    same, others = ([one for one, of in zip(recordings, is_same, strict=True) if of is flag] for flag in (True, False))
    kept = metadata.scored_names
    unknown = [one for one in same if not any(name in kept for name in _names_in_run(one, metadata, are_prefixed))]
    if kept and not others and not unknown:
        return metadata.protocol
    sentences = [_training_sentence(metadata, trained)]
    if others:
        found = sorted({one.corpus for one in others})
        # A name that somebody gave to a manifest says nothing sure of what is in it.
        sure = {*trained, *found} <= {*reader_names(), SYNTHETIC}
        which = f", which are of {_listed(found)}," if all(found) else ""
        end = f"{'of it' if len(trained) == 1 else 'of these'}{'' if sure else ', by their names'}."
        if same:
            sentences.append(f"{len(others)} of {len(recordings)} recordings{which} are not {end}")
        else:
            sentences.append(f"None of the recordings{which} is {end}")
    if same:
        sentences.append(_seen(metadata, same, unknown) if kept else _trained_on_all(metadata, same))
    if (initial := metadata.init_from) is not None:  # it may know what the fine-tuning does not
        sentences.append(f"Before that, it was {initial.name}: {initial.protocol}")
    return " ".join(filter(None, sentences))


def describe_left_out(labels: Mapping[str, int]) -> str:
    """Return the sentence on recordings, label -> number of them, whose classes the model does not know; or nothing."""
    if not labels:
        return ""
    counts = [f"{label} ({n})" for label, n in sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))]
    return f"Left out, as the model does not know their classes: {sum(labels.values())} recordings, {_listed(counts)}."


def describe_labels(label_map: Mapping[str, str | None]) -> str:
    """Return the sentence on the labels that are scored by other names; or nothing."""
    if not label_map:
        return ""
    named = [f"{label} {'is left out' if name is None else f'counts as {name}'}" for label, name in label_map.items()]
    return f"By label_map, {_listed(named)}."


def _may_be_of(trained: Sequence[str], recording: Recording) -> bool:
    """Whether a recording may be of the corpora that were trained on, by the name of its own or else of its file."""
    # The synthetic voices bear names of RAVDESS.
    names = {"ravdess"} if tuple(trained) == (SYNTHETIC,) else set[str]()
    names |= set(trained)
    if not trained or recording.corpus:
        return not trained or recording.corpus in names
    known = set(reader_names())
    return not names - {SYNTHETIC} <= known or any(find_reader(n).parse(recording.path) for n in names & known)


def _training_sentence(metadata: ModelMetadata, trained: Sequence[str]) -> str:
    if trained == (SYNTHETIC,):
        return "The model was trained on synthetic voices only."
    if trained:
        return f"The model was trained on {_listed(trained)}."
    manifest = _data_of(metadata).get("manifest")
    return f"The model was trained on the manifest {Path(manifest).name}." if isinstance(manifest, str) else ""


def _seen(metadata: ModelMetadata, same: Sequence[Recording], unknown: Sequence[Recording]) -> str:
    if not unknown:
        return f"The other {len(same)} are among those that the run kept from training."
    speakers = sorted({one.speaker for one in unknown if one.speaker is not None})
    named = f" ({_listed(speakers)})" if speakers else ""
    return (
        f"{len(unknown)} of {len(same)} are not among those that the run kept from training: it may have trained on "
        f"them or on other recordings of their speakers{named}."
    )


def _trained_on_all(metadata: ModelMetadata, recordings: Sequence[Recording]) -> str:
    """Return the sentence on a model that was trained on all recordings of its corpora."""
    if trained_corpora(metadata) == (SYNTHETIC,):
        return "The run kept none of them from training."
    channel = _data_of(metadata).get("channel")
    seen = sum(channel not in CHANNELS or recording.channel == channel for recording in recordings)
    these = "these very recordings" if seen == len(recordings) else f"{seen} of these {len(recordings)} recordings"
    speakers = "" if seen == len(recordings) else ", and others of the same speakers"
    return (
        f"The run kept nothing from training: by their names, {these} were trained on{speakers}. The metrics show "
        "how well the model remembers, not how well it predicts unseen speakers."
    )


def _names_in_run(recording: Recording, metadata: ModelMetadata, are_prefixed: bool) -> set[str]:
    """Return what a recording may be called in the model's run, of one corpus or several."""
    name = recording.id.removeprefix(prefixed(recording.corpus, "")) if are_prefixed else recording.id
    if not metadata.corpora:
        return {name}
    corpora = (recording.corpus,) if recording.corpus else tuple(metadata.corpora)
    return {prefixed(corpus, name) for corpus in corpora}


def _data_of(metadata: ModelMetadata) -> Mapping[str, Any]:
    data = metadata.configuration.get("data")
    return data if isinstance(data, Mapping) else {}


def _listed(names: Sequence[str]) -> str:
    """Return names as people list them, the first dozen.

    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    shown = list(names[:_MOST_NAMES])
    if len(names) > _MOST_NAMES:
        return f"{', '.join(shown)} and {len(names) - _MOST_NAMES} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
