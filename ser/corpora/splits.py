"""Splits: at random (of seen speakers), by speakers (folds by name, or k of them), and as the corpus itself splits."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from ser.corpora.manifest import Recording
from ser.corpora.ravdess import speaker_of
from ser.errors import CorpusError, SettingsError


@dataclass(frozen=True, kw_only=True)
class Fold:
    """The speakers unseen in training: `validation` chooses the checkpoint, `test` is scored once.

    Raises
    ------
    SettingsError : the parts overlap, or no speaker is left to validate.
    """

    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        if overlap := sorted(set(self.validation) & set(self.test)):
            raise SettingsError(f"fold has speakers {overlap} in validation and in test; each may be in one only.")
        if not self.validation:
            raise SettingsError("validation_speakers is empty; name the speakers that choose the checkpoint.")


def _actors(*, validation: tuple[int, ...], test: tuple[int, ...]) -> Fold:
    return Fold(validation=tuple(map(speaker_of, validation)), test=tuple(map(speaker_of, test)))


FOLDS = {
    # Test actors of Luna-Jimenez et al. 2021 (cristinalunaj/MMEmotionRecognition), validation of Mak-Sim/ResLSTM-SER.
    "subject_wise_0": _actors(validation=(3, 6), test=(2, 5, 14, 15, 16)),
    "subject_wise_1": _actors(validation=(10, 11), test=(3, 6, 7, 13, 18)),
    "subject_wise_2": _actors(validation=(8, 17), test=(10, 11, 12, 19, 20)),
    "subject_wise_3": _actors(validation=(1, 14), test=(8, 17, 21, 23, 24)),
    "subject_wise_4": _actors(validation=(2, 5), test=(1, 4, 9, 22)),
    # Test actors: emo-box/EmoBox, which names no validation actors; ours are a man and a woman of the next fold.
    "emobox_0": _actors(validation=(4, 9), test=(1, 11, 20, 21)),
    "emobox_1": _actors(validation=(8, 19), test=(4, 10, 12, 14)),
    "emobox_2": _actors(validation=(3, 24), test=(8, 9, 19, 23)),
    "emobox_3": _actors(validation=(2, 15), test=(3, 5, 7, 24)),
    "emobox_4": _actors(validation=(6, 13), test=(2, 15, 16, 18)),
    "emobox_5": _actors(validation=(1, 20), test=(6, 13, 17, 22)),
    "audeering": _actors(validation=(16, 17, 19, 20), test=(21, 22, 23, 24)),
}
"""The speaker-independent folds of RAVDESS in the literature, by name."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The three parts of a split; `test` is empty where the validation part is also what is scored."""

    train: tuple[Recording, ...]
    validation: tuple[Recording, ...]
    test: tuple[Recording, ...] = ()

    def __post_init__(self) -> None:
        names = [recording.id for recording in (*self.train, *self.validation, *self.test)]
        assert len(names) == len(set(names)), "a recording is in two parts of the split"


def random_split(recordings: Sequence[Recording], *, seed: int, test_size: float = 0.2, val_size: float = 0.0) -> Split:
    """Split at random, stratified by emotion: speakers, sentences and takes occur in all parts.

    It is the split of the reference implementation, recording by recording.

    Parameters
    ----------
    recordings : sorted by name.
    seed : of the shuffle; 42 is that of the reference implementation.
    test_size : fraction of the recordings that is held out, in (0, 1).
    val_size : fraction of the training part that is held out from it to choose the checkpoint, in [0, 1). At 0, as in
        the reference implementation, the held-out part is the validation part and the test part is empty.

    Raises
    ------
    SettingsError : too few recordings for every emotion to be in both parts.
    """

    def divide(part: Sequence[Recording], fraction: float) -> tuple[tuple[Recording, ...], tuple[Recording, ...]]:
        emotions = [recording.emotion for recording in part]
        try:
            kept, apart = train_test_split(part, test_size=fraction, random_state=seed, stratify=emotions)
        except ValueError as error:
            raise SettingsError(
                f"data.split is 'random', but {len(part)} recordings cannot be split so that every emotion is "
                f"in both parts ({error}); use more recordings or fewer data.classes."
            ) from error
        return tuple(kept), tuple(apart)

    train, test = divide(recordings, test_size)
    if not val_size:
        return Split(train=train, validation=test)
    train, validation = divide(train, val_size)
    return Split(train=train, validation=validation, test=test)


def speaker_split(recordings: Sequence[Recording], fold: Fold) -> Split:
    """Split by speaker: the training part is of all speakers in neither part of `fold`.

    Raises
    ------
    CorpusError : a recording whose speaker is not known.
    SettingsError : a part that has speakers has no recordings, or no speaker is left to train on.
    """
    known = speakers_of(recordings)

    def of(part: str, speakers: Collection[str]) -> tuple[Recording, ...]:
        found = tuple(recording for recording in recordings if recording.speaker in speakers)
        if speakers and not found:
            raise SettingsError(
                f"data.fold leaves no {part} recordings: the corpus has none of speakers "
                f"{', '.join(sorted(speakers))} in the chosen channel; it has {_listed(known)}."
            )
        return found

    unseen = {*fold.validation, *fold.test}
    trained = set(known) - unseen
    if not trained:
        raise SettingsError(f"fold holds out all speakers of the corpus ({_listed(known)}); leave some to train on.")
    return Split(
        train=of("training", trained), validation=of("validation", fold.validation), test=of("test", fold.test)
    )


def speakers_of(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Return the speakers, sorted.

    Raises
    ------
    CorpusError : a recording whose speaker is not known.
    """
    nameless = [recording for recording in recordings if recording.speaker is None]
    if nameless:
        raise CorpusError(
            f"{len(nameless)} of {len(recordings)} recordings have no speaker, such as {nameless[0].id}, so unseen "
            "speakers cannot be told apart: fill the column speaker, or give data.split=random."
        )
    return tuple(sorted({str(recording.speaker) for recording in recordings}))


def fold_of_speakers(recordings: Sequence[Recording], *, n_folds: int, fold: int, seed: int) -> Fold:
    """Return one of `n_folds` folds in which each speaker is tested once, alike in classes as far as speakers allow.

    scikit-learn's StratifiedGroupKFold draws the test speakers, and then, from the speakers that are left, the
    validation speakers: about one in `n_folds`, at least one.

    Parameters
    ----------
    n_folds : at least 2; fold : from 0 on.
    seed : of the order in which speakers are dealt out.

    Raises
    ------
    CorpusError : a recording whose speaker is not known.
    SettingsError : fewer speakers than folds, or than training, validation and test need.
    """
    speakers = speakers_of(recordings)
    if len(speakers) < max(3, n_folds):
        remedy = f"give data.n_folds={len(speakers)}" if len(speakers) >= 3 else "give data.validation_speakers by name"
        raise SettingsError(
            f"n_folds is {n_folds}, but the corpus has {len(speakers)} speakers ({_listed(speakers)}); {remedy}, or "
            "data.split=random."
        )
    test = _dealt(recordings, n_folds=n_folds, place=fold, seed=seed)
    left = [recording for recording in recordings if recording.speaker not in test]
    n_left = len(speakers) - len(test)
    if n_left < 2:
        raise SettingsError(f"n_folds is {n_folds}, which leaves one of {len(speakers)} speakers; give more folds.")
    validation = _dealt(left, n_folds=min(n_folds, n_left), place=0, seed=seed)
    return Fold(validation=validation, test=test)


def corpus_split(recordings: Sequence[Recording], test_corpora: Collection[str], *, n_folds: int, seed: int) -> Split:
    """Leave whole corpora out: all of `test_corpora` is the test part.

    The validation part is of about one in `n_folds` of the other corpora's speakers, at least one. Their recordings
    whose speaker is not known are trained on.

    Parameters
    ----------
    seed : of the order in which speakers are dealt out.

    Raises
    ------
    CorpusError : nothing is left to test, or fewer than two speakers to train and validate.
    """
    test = tuple(recording for recording in recordings if recording.corpus in test_corpora)
    others = [recording for recording in recordings if recording.corpus not in test_corpora]
    known = [recording for recording in others if recording.speaker is not None]
    n_speakers = len({recording.speaker for recording in known})
    if not test:
        raise CorpusError(
            f"data.test_corpora is {', '.join(test_corpora)}, of which no recording has one of the model's classes; "
            "see data.label_map."
        )
    if n_speakers < 2:
        raise CorpusError(
            f"The training corpora have {n_speakers} speakers, but validation needs one of two or more; fill the "
            "column speaker."
        )
    chosen = _dealt(known, n_folds=min(n_folds, n_speakers), place=0, seed=seed)
    return Split(
        train=tuple(recording for recording in others if recording.speaker not in chosen),
        validation=tuple(recording for recording in known if recording.speaker in chosen),
        test=test,
    )


def _dealt(recordings: Sequence[Recording], *, n_folds: int, place: int, seed: int) -> tuple[str, ...]:
    """Return the speakers of the `place`-th of `n_folds` groups."""
    speakers = np.array([recording.speaker for recording in recordings])
    _, labels = np.unique([recording.emotion for recording in recordings], return_inverse=True)
    names, groups = np.unique(speakers, return_inverse=True)
    # A class of fewer recordings than folds cannot be in all of them, of which scikit-learn would warn.
    counts = np.bincount(labels)
    labels = np.where(counts[labels] < n_folds, counts.argmax(), labels)
    folds = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed).split(labels, labels, groups)
    dealt = [names[np.unique(groups[test])] for _, test in folds]
    if not all(len(one) for one in dealt):  # it may leave a fold empty, where a few speakers have most recordings
        order = np.random.default_rng(seed).permutation(len(names))
        dealt = [np.sort(names[order[first::n_folds]]) for first in range(n_folds)]
    return tuple(dealt[place].tolist())


def official_split(recordings: Sequence[Recording]) -> Split:
    """Split as the corpus says; recordings of which it says nothing are left out.

    Without a validation part, the test part takes its place, and the test part is empty.

    Raises
    ------
    CorpusError : there is no training part, or nothing to validate or test on.
    """
    parts = {part: tuple(r for r in recordings if r.split == part) for part in ("train", "validation", "test")}
    counts = Counter(recording.split or "none" for recording in recordings)
    if not parts["train"] or not (parts["validation"] or parts["test"]):
        found = ", ".join(f"{part}: {count}" for part, count in sorted(counts.items()))
        raise CorpusError(
            f"data.split is 'official', but the corpus names no training part, or nothing to score ({found}); fill the "
            "column split with train, validation and test, or give another data.split."
        )
    if not parts["validation"]:
        return Split(train=parts["train"], validation=parts["test"])
    return Split(**parts)


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
