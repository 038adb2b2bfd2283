"""The group `data` of the settings: which recordings a run is trained, validated and tested on."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ser.corpora.manifest import CHANNELS, Recording
from ser.corpora.ravdess import EMOTIONS, N_ACTORS, speaker_of
from ser.corpora.reading import MANIFEST, SYNTHETIC, classes_of, corpus_names
from ser.corpora.several import prefixed
from ser.corpora.splits import (
    FOLDS,
    Fold,
    Split,
    corpus_split,
    fold_of_speakers,
    official_split,
    random_split,
    speaker_split,
    speakers_of,
)
from ser.corpora.synthetic import SyntheticSettings
from ser.errors import CorpusError, SettingsError
from ser.features.validation import (
    FractionBelowOne,
    InnerFraction,
    ListOf,
    Natural,
    NaturalNumber,
    Positive,
    PositiveNumber,
    settings_dataclass,
    suggestion,
)

log = logging.getLogger(__name__)

Channel = Literal["both", "speech", "song"]
_FEWEST = 3
"""Speakers of a fold: one to train on, one to validate, one to test."""
N_FOLDS = 5
"""Folds by speakers where no setting says how many."""


@settings_dataclass
class DataSettings:
    """The group `data`; every key is explained in `conf/data/ravdess.yaml`.

    `classes` of None are those that the corpus turns out to have, see `class_order`.
    """

    corpus: str = "ravdess"
    corpora: dict[str, str | None] | ListOf[str] | Literal[""] | None = None
    weights: Literal["equal", "sqrt"] | dict[str, PositiveNumber] | None = None
    overlapping_classes: dict[str, ListOf[str]] | None = None
    reader: Any = None
    root: str | None = None
    manifest: str | None = None
    download: bool = True
    channel: Channel = "both"
    score_channel: Channel | None = None
    classes: Annotated[ListOf[str], Field(min_length=2)] | None = None
    label_map: dict[str, str | None] | None = None
    split: Literal["random", "speaker", "official", "corpus", "all"] = "random"
    split_seed: Natural = 42
    test_size: InnerFraction = 0.2
    val_size: FractionBelowOne = 0.0
    fold: int | str | None = None
    n_folds: Annotated[int, Field(ge=2)] | None = None
    validation_speakers: ListOf[int | str] = ()
    test_speakers: ListOf[int | str] = ()
    test_corpora: ListOf[str] = ()
    augment_count: Natural = 1
    augment_corpora: ListOf[str] | None = None
    oversample: dict[str, Natural] = dataclasses.field(default_factory=dict)
    augment_seed: int = 42
    batch_size: Positive = 8
    recordings_per_speaker: Annotated[int, Field(ge=2)] | None = None
    workers: Natural = 0
    memory_gb: NaturalNumber | None = None
    shards: str | None = None
    shard_size: Positive = 500
    shard_dtype: Literal["float16", "float32"] = "float16"
    shuffle_shards: Positive = 4
    synthetic: SyntheticSettings = dataclasses.field(default_factory=SyntheticSettings)

    def __post_init__(self) -> None:
        if self.corpus not in corpus_names():
            raise SettingsError(f"corpus is {self.corpus!r}; {suggestion(self.corpus, corpus_names())}.")
        if self.reader is not None and self.root is None:
            raise SettingsError("root is needed with data.reader: the folder of your own corpus.")
        self._settle_corpora()
        is_table = self.corpus == MANIFEST and self.reader is None and self.corpora is None
        if is_table != (self.manifest is not None):
            needed = "is needed with data.corpus=manifest: the table of your recordings"
            raise SettingsError(f"manifest {needed if is_table else 'is for data=manifest alone; leave it out'}.")
        for key in ("recordings_per_speaker", "weights"):
            if self.shards is not None and getattr(self, key) is not None:
                raise SettingsError(f"{key} is not for data.shards, each sample of which comes once; leave one out.")
        self._settle_classes()
        if self.split == "speaker":
            self._check_fold()
        elif (
            self.fold is not None
            or (self.n_folds and self.split != "corpus")
            or self.validation_speakers
            or self.test_speakers
        ):
            raise SettingsError(
                f"split is {self.split!r}, which takes no fold and no speakers; give data.fold=null, or "
                "data.split=speaker."
            )

    def _settle_corpora(self) -> None:
        if self.corpora is None:
            for key in ("weights", "overlapping_classes"):
                if getattr(self, key) is not None:
                    raise SettingsError(f"{key} is for data.corpora alone, several corpora at once; leave it out.")
            if self.split == "corpus" or self.test_corpora:
                raise SettingsError(
                    "split=corpus and data.test_corpora need several corpora; name them by data.corpora."
                )
            return
        if len(self.corpora) < 2 or len(set(self.corpora)) < len(self.corpora):
            raise SettingsError(
                f"corpora is {list(self.corpora)}; name two or more, each once, as in data.corpora=[ravdess,cremad]."
            )
        if self.reader is not None or self.root is not None or self.manifest is not None:
            raise SettingsError(
                "corpora names several corpora, each with a place of its own, as in data.corpora={cremad: <folder>}; "
                "leave out data.root, data.manifest and data.reader."
            )
        if not isinstance(self.corpora, dict):
            object.__setattr__(self, "corpora", dict.fromkeys(self.corpora))
        for name in self.corpora:
            if not name or not name.isprintable() or "/" in name:
                raise SettingsError(f"corpora has {name!r}; a name is printable and has no slash.")
        named = {
            "weights": self.weights if isinstance(self.weights, dict) else (),
            "test_corpora": self.test_corpora,
            "augment_corpora": self.augment_corpora or (),
        }
        for key, names in named.items():
            for name in names:
                if name not in self.corpora:
                    raise SettingsError(f"{key} has {name!r}; {suggestion(name, tuple(self.corpora))}.")
        if (self.split == "corpus") != bool(self.test_corpora):
            raise SettingsError("test_corpora and data.split=corpus belong together; give both or none.")
        if set(self.test_corpora) == set(self.corpora):
            raise SettingsError("test_corpora holds out all corpora; leave some to train on.")
        if isinstance(self.weights, dict) and (missing := [n for n in self.training_corpora if n not in self.weights]):
            raise SettingsError(f"weights lacks {', '.join(missing)}; give each training corpus its share of an epoch.")

    @property
    def places(self) -> dict[str, str | None]:
        """Name -> folder or manifest, as far as the settings say it, of several corpora; of one, nothing."""
        return self.corpora if isinstance(self.corpora, dict) else {}

    @property
    def training_corpora(self) -> tuple[str, ...]:
        """The names of the corpora that are trained on."""
        return tuple(name for name in self.corpora or (self.corpus,) if name not in self.test_corpora)

    def _known_classes(self) -> tuple[str, ...] | None:
        """Return the classes of the training corpora; None where only the recordings tell them."""
        if self.reader is not None:
            return None
        labels: list[str] = []
        for name in self.training_corpora:
            is_named = name in corpus_names() and not str(self.places.get(name)).endswith((".csv", ".parquet"))
            if not is_named or not (of_corpus := classes_of(name)):
                return None
            labels += of_corpus
        return class_order(new for label in labels if (new := (self.label_map or {}).get(label, label)))

    def _settle_classes(self) -> None:
        known = self._known_classes()
        for key in ("classes", "oversample"):
            for emotion in getattr(self, key) or ():
                if known and emotion not in known:
                    raise SettingsError(f"{key} has {emotion!r}; {suggestion(emotion, known)}.")
        if self.classes is None:
            object.__setattr__(self, "classes", known)
            return
        if len(set(self.classes)) < len(self.classes):
            raise SettingsError(f"classes names one twice: {', '.join(self.classes)}.")
        # In one order, whatever order they were named in: nothing sorts the classes again after this.
        object.__setattr__(self, "classes", class_order(self.classes))

    def _check_fold(self) -> None:
        by_name = bool(self.validation_speakers or self.test_speakers)
        if (self.fold is None) == (not by_name):
            raise SettingsError(
                "fold is needed with data.split=speaker (a number from 0 on, or a name such as 'emobox_3'), or else "
                "data.validation_speakers and data.test_speakers; not both."
            )
        fold = self.named_fold  # refuses what is no fold
        if fold is None and not 0 <= int(self.fold or 0) < self.number_of_folds:
            last = self.number_of_folds - 1
            raise SettingsError(f"fold is {self.fold!r}; with data.n_folds={last + 1} there are folds 0 to {last}.")
        if fold is not None and self.has_actors and self.corpora is None:
            unseen, actors = {*fold.validation, *fold.test}, {speaker_of(n) for n in range(1, N_ACTORS + 1)}
            if unknown := sorted(unseen - actors):
                raise SettingsError(f"fold has actors {', '.join(unknown)}; RAVDESS has 1 to {N_ACTORS}.")
            if unseen == actors:
                raise SettingsError("fold holds out all actors; leave some to train on.")

    @property
    def has_actors(self) -> bool:
        """Whether the speakers are RAVDESS's actors, who have numbers."""
        return self.reader is None and self.corpora is None and self.corpus in ("ravdess", SYNTHETIC)

    @property
    def number_of_folds(self) -> int:
        return self.n_folds or N_FOLDS

    @property
    def named_fold(self) -> Fold | None:
        """The speakers that a fold by name, or the two lists of speakers, hold out; None: the recordings decide.

        Raises
        ------
        SettingsError : there is no such fold, or as `Fold` raises.
        """
        if self.fold is None:
            lists = ((self._speaker(one) for one in part) for part in (self.validation_speakers, self.test_speakers))
            validation, test = map(tuple, lists)
            return Fold(validation=validation, test=test)
        if isinstance(self.fold, int):
            if self.n_folds or not self.has_actors:
                return None
            name = f"subject_wise_{self.fold}"
        else:
            name = self.fold
        if name not in FOLDS:
            raise SettingsError(f"fold is {self.fold!r}; {suggestion(name, FOLDS)}.")
        if self.corpora is None:
            return FOLDS[name]
        if "ravdess" not in self.training_corpora:
            raise SettingsError(f"fold is {self.fold!r}, a fold of RAVDESS, which is not among data.corpora.")
        # RAVDESS's actors are held out, and all other corpora are trained on.
        actors = (
            tuple(prefixed("ravdess", one) for one in part) for part in (FOLDS[name].validation, FOLDS[name].test)
        )
        validation, test = actors
        return Fold(validation=validation, test=test)

    def _speaker(self, name: int | str) -> str:
        return speaker_of(name) if isinstance(name, int) and self.has_actors else str(name)

    @property
    def scored_channel(self) -> Channel:
        return self.score_channel or self.channel

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that are trained on or scored, of "speech" and "song"."""
        return tuple(channel for channel in CHANNELS if {channel, "both"} & {self.channel, self.scored_channel})


def class_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the names of classes, each once: those of RAVDESS in its order, then all others sorted.

    >>> class_order(["sad", "neutral", "bored", "amused", "sad"])
    ('neutral', 'sad', 'amused', 'bored')
    """
    found = set(labels)
    return (*(emotion for emotion in EMOTIONS if emotion in found), *sorted(found - set(EMOTIONS)))


def classes_found(recordings: Iterable[Recording], settings: DataSettings) -> tuple[str, ...]:
    """Return the classes of recordings of the channels and corpora that are trained on, in `class_order`.

    Raises
    ------
    CorpusError : there are fewer than two.
    """
    channels, tested = settings.channels, settings.test_corpora
    classes = class_order(r.emotion for r in recordings if r.channel in channels and r.corpus not in tested)
    if len(classes) < 2:
        found = f"the one label {classes[0]!r}" if classes else "no recording in the chosen channel"
        raise CorpusError(f"The corpus has {found}, but a model tells two classes or more apart; see data.channel.")
    return classes


def select(recordings: Sequence[Recording], settings: DataSettings) -> Split:
    """Split the recordings of the chosen classes; train on `channel`, validate and test on `scored_channel`.

    Both channels of a validation or test speaker stay out of the training part. The random split is the same whichever
    channel is scored.

    Raises
    ------
    CorpusError : nothing is left of the corpus in the chosen classes and channels.
    SettingsError : as the splits raise.
    """
    wanted, classes = settings.channels, settings.classes or classes_found(recordings, settings)
    pool = [r for r in recordings if r.channel in wanted and r.emotion in classes]
    if not pool:
        raise CorpusError(f"The corpus holds no recording of {'/'.join(sorted(wanted))} in data.classes.")
    if others := Counter(r.emotion for r in recordings if r.emotion not in classes):
        log.info("Left out, not of data.classes: %s", ", ".join(f"{label} ({n})" for label, n in others.items()))
    if settings.split == "all":
        split = Split(train=tuple(pool), validation=(), test=())
    elif settings.split == "official":
        split = official_split(pool)
    elif settings.split == "corpus":
        split = corpus_split(pool, settings.test_corpora, n_folds=settings.number_of_folds, seed=settings.split_seed)
    elif settings.split == "speaker":
        split = speaker_split(pool, settings.named_fold or _numbered_fold(pool, settings))
    else:
        split = random_split(pool, seed=settings.split_seed, test_size=settings.test_size, val_size=settings.val_size)

    def chosen(part: str, of_part: tuple[Recording, ...], channel: Channel) -> tuple[Recording, ...]:
        left = of_channel(of_part, channel)
        if of_part and not left:
            raise CorpusError(f"The {part} part holds no recordings in the chosen channel; see data.channel.")
        return left

    return Split(
        train=chosen("training", split.train, settings.channel),
        validation=chosen("validation", split.validation, settings.scored_channel),
        test=chosen("test", split.test, settings.scored_channel),
    )


def _numbered_fold(pool: Sequence[Recording], settings: DataSettings) -> Fold:
    """Return the fold of a number; among several corpora, each one's own fold of that number, all of them together.

    So a model of all of them can be compared with models of one. RAVDESS's five are the subject-wise ones. A corpus of
    fewer speakers than folds has as many folds as speakers, and one of fewer than three has none.
    """
    number, seed = int(settings.fold or 0), settings.split_seed
    if settings.corpora is None:
        return fold_of_speakers(pool, n_folds=settings.number_of_folds, fold=number, seed=seed)
    parts = []
    for name in settings.training_corpora:
        of_corpus = [r for r in pool if r.corpus == name]
        n_folds = min(settings.number_of_folds, len(speakers_of(of_corpus)))
        if n_folds < _FEWEST or number >= n_folds:
            continue  # it has no such fold: all of it is trained on
        if name == "ravdess" and settings.number_of_folds == N_FOLDS:
            known = FOLDS[f"subject_wise_{number}"]
            of_actors = ((prefixed(name, one) for one in part) for part in (known.validation, known.test))
            validation, test = map(tuple, of_actors)
            parts.append(Fold(validation=validation, test=test))
        else:
            parts.append(fold_of_speakers(of_corpus, fold=number, n_folds=n_folds, seed=seed))
    return Fold(
        validation=tuple(speaker for part in parts for speaker in part.validation),
        test=tuple(speaker for part in parts for speaker in part.test),
    )


def augmented_copies(recording: Recording, settings: DataSettings) -> int:
    """Return the number of augmented copies of a training recording."""
    if settings.augment_corpora is not None and recording.corpus not in settings.augment_corpora:
        return 0
    return settings.augment_count + settings.oversample.get(recording.emotion, 0)


def of_channel(recordings: Iterable[Recording], channel: Channel) -> tuple[Recording, ...]:
    """Return those of `recordings` that are of the channel; all of them for "both"."""
    return tuple(recording for recording in recordings if channel in ("both", recording.channel))
