"""The group `data` of the settings: which recordings a run is trained, validated and tested on."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ser.corpora.manifest import ROOT_VARIABLE, Recording, corpus_root, find_files, find_recordings
from ser.corpora.ravdess import CHANNELS, EMOTIONS, RecordingName
from ser.corpora.splits import FOLDS, Fold, Split, random_split, speaker_split
from ser.corpora.synthetic import SyntheticSettings, write_synthetic_corpus
from ser.errors import CorpusError, SettingsError
from ser.features.validation import (
    FractionBelowOne,
    InnerFraction,
    ListOf,
    Natural,
    Positive,
    as_plain,
    settings_dataclass,
    suggestion,
)

Channel = Literal["both", "speech", "song"]


@settings_dataclass
class DataSettings:
    """The group `data`; every key is explained in `conf/data/ravdess.yaml`."""

    corpus: Literal["ravdess", "synthetic"] = "ravdess"
    reader: Any = None
    root: str | None = None
    download: bool = True
    channel: Channel = "both"
    score_channel: Channel | None = None
    classes: Annotated[ListOf[str], Field(min_length=2)] = EMOTIONS
    split: Literal["random", "speaker", "all"] = "random"
    split_seed: Natural = 42
    test_size: InnerFraction = 0.2
    val_size: FractionBelowOne = 0.0
    fold: int | str | None = None
    validation_actors: ListOf[int] = ()
    test_actors: ListOf[int] = ()
    augment_count: Natural = 1
    oversample: dict[str, Natural] = dataclasses.field(default_factory=dict)
    augment_seed: int = 42
    batch_size: Positive = 8
    workers: Natural = 0
    synthetic: SyntheticSettings = dataclasses.field(default_factory=SyntheticSettings)

    def __post_init__(self) -> None:
        if self.reader is not None and self.root is None:
            raise SettingsError("root is needed with data.reader: the folder of your own corpus.")
        for key in ("classes", "oversample"):
            for emotion in getattr(self, key):
                if emotion not in EMOTIONS:
                    raise SettingsError(f"{key} has {emotion!r}; {suggestion(emotion, EMOTIONS)}.")
        if len(set(self.classes)) < len(self.classes):
            raise SettingsError(f"classes names one twice: {', '.join(self.classes)}.")
        # RAVDESS order, whatever order they were named in: nothing sorts the classes again after this.
        object.__setattr__(self, "classes", tuple(e for e in EMOTIONS if e in self.classes))
        if self.split == "speaker":
            _ = self.fold_actors  # refuses what is no fold
        elif self.fold is not None or self.validation_actors or self.test_actors:
            raise SettingsError(f"split is {self.split!r}, which has no folds or actors; set data.split=speaker too.")

    @property
    def fold_actors(self) -> Fold:
        """The validation and test actors that `fold`, or the two lists of actors, name.

        Raises
        ------
        SettingsError : there is no such fold, or both ways or neither way of naming actors is used; as `Fold` raises.
        """
        if (self.fold is None) == (not self.validation_actors and not self.test_actors):
            raise SettingsError(
                "fold is needed with data.split=speaker (0 to 4, or a name such as 'emobox_3'), or else "
                "data.validation_actors and data.test_actors; not both."
            )
        if self.fold is None:
            return Fold(validation=self.validation_actors, test=self.test_actors)
        name = f"subject_wise_{self.fold}" if isinstance(self.fold, int) else self.fold
        if name not in FOLDS:
            raise SettingsError(f"fold is {self.fold!r}; {suggestion(name, FOLDS)}.")
        return FOLDS[name]

    @property
    def scored_channel(self) -> Channel:
        return self.score_channel or self.channel

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that are trained on or scored, of "speech" and "song"."""
        return tuple(channel for channel in CHANNELS if {channel, "both"} & {self.channel, self.scored_channel})

    def describe_split(self, *, keeps_last: bool = False) -> str:
        """Return one sentence on the protocol: the split, and what chooses the checkpoint. It stands above every score.

        Parameters
        ----------
        keeps_last : whether the run keeps its last epoch, so that no recordings choose the checkpoint.
        """
        channels = {"both": "speech and song", "speech": "speech", "song": "song"}
        scored = channels[self.scored_channel]
        if self.split == "all":
            return (
                f"Trained on every recording of the corpus ({channels[self.channel]}). Scores on {scored} of the "
                "corpus itself are of seen recordings, and say nothing of unseen speakers."
            )
        if self.split == "speaker":
            fold = self.fold_actors
            validation, test = (", ".join(map(str, sorted(actors))) for actors in (fold.validation, fold.test))
            unseen = f"Speaker-independent, {scored}: test actors {test} are unseen in training"
            if keeps_last:
                return f"{unseen}; so are validation actors {validation}; the last epoch was kept."
            return f"{unseen}; the checkpoint was chosen on validation actors {validation}."
        if self.val_size:
            how = "the last epoch was kept, validated on" if keeps_last else "the checkpoint was chosen on"
            chosen = f"{how} {self.val_size:.0%} of the training part"
        elif keeps_last:
            chosen = "all other recordings were trained on, and the last epoch was kept"
        else:
            chosen = (
                "the checkpoint was chosen on these same recordings, as in the reference implementation; expect lower "
                "scores on unseen speakers"
            )
        return (
            f"Speaker-dependent, {scored}: random split, {self.test_size:.0%} of the recordings are held out (seed "
            f"{self.split_seed}), every test speaker is seen in training; {chosen}."
        )


def select(recordings: Sequence[Recording], settings: DataSettings) -> Split:
    """Split the recordings of the chosen classes; train on `channel`, validate and test on `scored_channel`.

    Both channels of a validation or test actor stay out of the training part. The random split is the same whichever
    channel is scored.

    Raises
    ------
    CorpusError : nothing is left of the corpus in the chosen classes and channels.
    SettingsError : as the splits raise.
    """
    wanted = settings.channels
    pool = [r for r in recordings if r.name.channel in wanted and r.name.emotion in settings.classes]
    if not pool:
        raise CorpusError(f"The corpus holds no recording of {'/'.join(sorted(wanted))} in data.classes.")
    if settings.split == "all":
        split = Split(train=tuple(pool), validation=(), test=())
    elif settings.split == "speaker":
        split = speaker_split(pool, settings.fold_actors)
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


def augmented_copies(recording: Recording, settings: DataSettings) -> int:
    """Return the number of augmented copies of a training recording."""
    return settings.augment_count + settings.oversample.get(recording.name.emotion, 0)


def locate_corpus(settings: DataSettings, *, data_dir: Path) -> Path:
    """Return the folder of the corpus; write the synthetic one or download RAVDESS where the settings say so.

    Parameters
    ----------
    data_dir : the folder of corpora that no setting names: `ravdess` and `synthetic-<digest>` below it.

    Raises
    ------
    CorpusError, DownloadError : the corpus is not there and cannot be had.
    """
    if settings.reader is not None:
        root, _ = corpus_root(settings.root, default=data_dir)
        if not root.is_dir():
            raise CorpusError(f"data.root is {settings.root!r}, but should be the folder that data.reader reads.")
        return root
    if settings.corpus == "synthetic":
        digest = hashlib.sha256(json.dumps(as_plain(settings.synthetic)).encode()).hexdigest()[:8]
        root = Path(settings.root) if settings.root else data_dir / f"synthetic-{digest}"
        return write_synthetic_corpus(root, settings.synthetic)
    root, named = corpus_root(settings.root, default=data_dir / "ravdess")
    if named or not settings.download:
        if not root.is_dir():
            raise CorpusError(
                f"{root} is not a folder; set data.root or {ROOT_VARIABLE} to the folder that holds RAVDESS, or leave "
                "both unset, and data.download=true, to download it."
            )
        return root
    present = {r.name.channel for r in find_files(root).recordings} if root.is_dir() else set()
    # By channel: a download that was killed between its two archives has left one of them.
    if missing := tuple(channel for channel in settings.channels if channel not in present):
        from ser.corpora.download import download_corpus  # an HTTP client, which hardly any run needs

        download_corpus(root, channels=missing)
    return root


def recordings_in(root: Path, reader: Callable[[Path], Iterable[Recording]] | None = None) -> list[Recording]:
    """Return the recordings below `root`: files with RAVDESS names, or what a reader of one's own finds.

    Raises
    ------
    CorpusError : there is none; or a reader returns something else than recordings of our emotions and channels, each
        with a name of its own.
    """
    if reader is None:
        return find_recordings(root)
    found = reader(root)
    if not isinstance(found, Iterable):
        raise CorpusError(f"data.reader returned {found!r}, but should return recordings, or yield them.")
    recordings, names = list(found), set[RecordingName]()
    for one in recordings:
        if not isinstance(one, Recording):
            raise CorpusError(f"data.reader returned {one!r}, but should return ser.corpora.manifest.Recording alone.")
        for field, known in (("emotion", EMOTIONS), ("channel", CHANNELS)):
            if (value := getattr(one.name, field)) not in known:
                raise CorpusError(f"{one.path} has {field} {value!r} by data.reader; {suggestion(str(value), known)}.")
        if one.name in names:
            raise CorpusError(f"{one.path} has the same name by data.reader as another file: number its repetition.")
        names.add(one.name)
    if not recordings:
        raise CorpusError(f"{root} holds no recording by data.reader.")
    return recordings


def of_channel(recordings: Iterable[Recording], channel: Channel) -> tuple[Recording, ...]:
    """Return those of `recordings` that are of the channel; all of them for "both"."""
    return tuple(recording for recording in recordings if channel in ("both", recording.name.channel))
