"""Several corpora at once: found, read, told apart by the prefix of their recordings' and speakers' names."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ser.corpora.manifest import Recording
from ser.corpora.reading import MANIFEST, SYNTHETIC, locate_corpus, read_corpus, reader_names, relabelled
from ser.errors import SettingsError

if TYPE_CHECKING:
    from ser.corpora.selection import DataSettings


def prefixed(corpus: str, name: str) -> str:
    """Return the name of a recording or a speaker of `corpus` among those of several."""
    return f"{corpus}/{name}"


def locate_corpora(settings: "DataSettings", *, data_dir: Path) -> dict[str, Path]:
    """Return name -> folder or manifest of each of the settings' corpora; of the one corpus, where it is one.

    Raises
    ------
    CorpusError, DownloadError : as `locate_corpus`; it names the corpus.
    """
    if settings.corpora is None:
        return {settings.corpus: locate_corpus(settings, data_dir=data_dir).resolve()}
    places: dict[str, Path] = {}
    for name in settings.corpora:
        place = locate_corpus(_of_one(settings, name), data_dir=data_dir).resolve()
        for other, taken in places.items():
            if taken == place:
                raise SettingsError(f"data.corpora names {place} twice, as {other} and as {name}; leave one out.")
        places[name] = place
    return places


def read_corpora(settings: "DataSettings", places: dict[str, Path]) -> list[Recording]:
    """Return the recordings of all corpora at `places`, as `locate_corpora` gives them, corpus by corpus.

    With several corpora, the ids and speakers of each begin with its name, `cremad/1001`, as two corpora may use the
    same ones.

    Raises
    ------
    CorpusError : as `read_corpus`.
    SettingsError : `data.label_map` names a label that no recording has.
    """
    if settings.corpora is None:
        return read_corpus(settings, places[settings.corpus])
    recordings = [
        dataclasses.replace(
            one,
            id=prefixed(name, one.id),
            speaker=None if one.speaker is None else prefixed(name, one.speaker),
            corpus=name,
        )
        for name, place in places.items()
        for one in read_corpus(_of_one(settings, name), place)
    ]
    return relabelled(recordings, settings.label_map or {})


def _of_one(settings: "DataSettings", name: str) -> "DataSettings":
    """Return the settings of one of several corpora: a reader by its name and folder, or a manifest."""
    place = settings.places[name]
    is_named = name in (*reader_names(), SYNTHETIC)
    if place is None and not is_named:
        raise SettingsError(
            f"data.corpora has {name!r}, which is no corpus by name ({', '.join(reader_names())}); give its manifest: "
            f"data.corpora={{{name}: labels.csv}}."
        )
    is_table = not is_named or (place is not None and Path(place).expanduser().is_file())
    return type(settings)(
        corpus=MANIFEST if is_table else name,
        root=None if is_table else place,
        manifest=place if is_table else None,
        download=settings.download,
        channel=settings.channel,
        synthetic=settings.synthetic,
    )


def allowed_classes(
    recordings: Iterable[Recording],
    classes: Sequence[str],
    overlapping: Mapping[str, Collection[str]] | None = None,
) -> dict[tuple[str, str], tuple[bool, ...]] | None:
    """Return for each corpus and emotion which of `classes` have a part in the loss; None where all have, always.

    A class that a corpus lacks is no wrong answer to recordings that might be called so too: nobody asked their
    speakers for it.

    Parameters
    ----------
    recordings : of all parts; they tell which classes a corpus has.
    overlapping : emotion -> the classes that its recordings may be too, such as {"neutral": ["calm"]}; all others
        count. None: none of those that the corpus lacks does.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        found[recording.corpus].add(recording.emotion)
    allowed = {
        (corpus, emotion): tuple(
            name in labels or (overlapping is not None and name not in overlapping.get(emotion, ())) for name in classes
        )
        for corpus, labels in found.items()
        for emotion in labels
    }
    return None if all(all(flags) for flags in allowed.values()) else allowed


def expected_draws(corpora: Sequence[str], settings: "DataSettings") -> dict[str, float] | None:
    """Return for each corpus how often one of its samples is drawn in an epoch, by `data.weights`; None: once each.

    An epoch has as many samples as there are, whatever the weights.

    Parameters
    ----------
    corpora : of each training sample.
    """
    if settings.weights is None:
        return None
    counts = Counter(corpora)
    if isinstance(settings.weights, str):
        power = {"equal": 0.0, "sqrt": 0.5}[settings.weights]
        shares = {corpus: n**power for corpus, n in counts.items()}
    else:
        shares = {corpus: settings.weights[corpus] for corpus in counts}
    total = sum(shares.values())
    return {corpus: len(corpora) * shares[corpus] / total / n for corpus, n in counts.items()}
