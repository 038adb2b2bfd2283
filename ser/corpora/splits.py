"""Splits: the random split of the reference implementation (speaker-dependent), and the speaker-independent folds."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sklearn.model_selection import train_test_split

from ser.corpora.manifest import Recording
from ser.corpora.ravdess import N_ACTORS
from ser.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Fold:
    """The actors unseen in training: `validation` chooses the checkpoint, `test` is scored once.

    Raises
    ------
    SettingsError : the parts overlap, no actor is left to validate or to train on, or RAVDESS has no such actor.
    """

    validation: tuple[int, ...]
    test: tuple[int, ...]

    def __post_init__(self) -> None:
        unseen, actors = {*self.validation, *self.test}, set(range(1, N_ACTORS + 1))
        if overlap := sorted(set(self.validation) & set(self.test)):
            raise SettingsError(f"fold has actors {overlap} in validation and in test; each may be in one only.")
        if not self.validation:
            raise SettingsError("validation_actors is empty; name the actors that choose the checkpoint.")
        if unknown := sorted(unseen - actors):
            raise SettingsError(f"fold has actors {unknown}; RAVDESS has 1 to {N_ACTORS}.")
        if unseen == actors:
            raise SettingsError("fold holds out all actors; leave some to train on.")


FOLDS = {
    # Test actors of Luna-Jimenez et al. 2021 (cristinalunaj/MMEmotionRecognition), validation of Mak-Sim/ResLSTM-SER.
    "subject_wise_0": Fold(validation=(3, 6), test=(2, 5, 14, 15, 16)),
    "subject_wise_1": Fold(validation=(10, 11), test=(3, 6, 7, 13, 18)),
    "subject_wise_2": Fold(validation=(8, 17), test=(10, 11, 12, 19, 20)),
    "subject_wise_3": Fold(validation=(1, 14), test=(8, 17, 21, 23, 24)),
    "subject_wise_4": Fold(validation=(2, 5), test=(1, 4, 9, 22)),
    # Test actors: emo-box/EmoBox, which names no validation actors; ours are a man and a woman of the next fold.
    "emobox_0": Fold(validation=(4, 9), test=(1, 11, 20, 21)),
    "emobox_1": Fold(validation=(8, 19), test=(4, 10, 12, 14)),
    "emobox_2": Fold(validation=(3, 24), test=(8, 9, 19, 23)),
    "emobox_3": Fold(validation=(2, 15), test=(3, 5, 7, 24)),
    "emobox_4": Fold(validation=(6, 13), test=(2, 15, 16, 18)),
    "emobox_5": Fold(validation=(1, 20), test=(6, 13, 17, 22)),
    "audeering": Fold(validation=(16, 17, 19, 20), test=(21, 22, 23, 24)),
}
"""The speaker-independent folds in the literature, by name."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The three parts of a split; `test` is empty where the validation part is also what is scored."""

    train: tuple[Recording, ...]
    validation: tuple[Recording, ...]
    test: tuple[Recording, ...] = ()

    def __post_init__(self) -> None:
        stems = [recording.stem for recording in (*self.train, *self.validation, *self.test)]
        assert len(stems) == len(set(stems)), "a recording is in two parts of the split"


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
        emotions = [recording.name.emotion for recording in part]
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
    """Split by actor: the training part is of all actors in neither part of `fold`.

    Raises
    ------
    SettingsError : a part that has actors has no recordings.
    """

    def of(part: str, actors: Collection[int]) -> tuple[Recording, ...]:
        found = tuple(recording for recording in recordings if recording.name.actor in actors)
        if actors and not found:
            raise SettingsError(
                f"data.fold leaves no {part} recordings: the corpus has none of actors "
                f"{', '.join(map(str, sorted(actors)))} in the chosen channel."
            )
        return found

    trained = set(range(1, N_ACTORS + 1)) - {*fold.validation, *fold.test}
    return Split(
        train=of("training", trained), validation=of("validation", fold.validation), test=of("test", fold.test)
    )
