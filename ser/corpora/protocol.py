"""The sentence on a protocol: who was on which side, and what chose the checkpoint. It stands above every score."""

from collections.abc import Sequence

from ser.corpora.manifest import Recording
from ser.corpora.selection import DataSettings
from ser.corpora.splits import Split

CHANNEL_NAMES = {"both": "speech and song", "speech": "speech", "song": "song"}
_MOST_NAMES = 12


def describe_split(settings: DataSettings, split: Split | None = None, *, keeps_last: bool = False) -> str:
    """Return the sentence.

    Parameters
    ----------
    split : what the settings came to; None: it is not known yet, and the sentence says less.
    keeps_last : whether the run keeps its last epoch, so that no recordings choose the checkpoint.
    """
    sentence = _of_split(settings, split, keeps_last=keeps_last)
    if settings.corpora is None:
        return sentence
    names = settings.training_corpora
    return (
        f"{sentence} Trained on the {'corpora' if len(names) > 1 else 'corpus'} {', '.join(names)}{_shares(settings)}."
    )


def _shares(settings: DataSettings) -> str:
    if settings.weights is None:
        return ""
    if isinstance(settings.weights, str):
        how = {"equal": "alike", "sqrt": "by the square roots of their sizes"}[settings.weights]
        return f", drawn {how}"
    return f", drawn as {', '.join(f'{name} {share:g}' for name, share in settings.weights.items())}"


def _of_split(settings: DataSettings, split: Split | None, *, keeps_last: bool) -> str:
    scored = CHANNEL_NAMES[settings.scored_channel]
    if settings.split == "all":
        which = "corpus" if settings.corpora is None else "corpora"
        return (
            f"Trained on every recording of the {which} ({CHANNEL_NAMES[settings.channel]}). Scores on {scored} of the "
            f"{which} are of seen recordings, and say nothing of unseen speakers."
        )
    if settings.split == "speaker":
        return _by_speaker(settings, split, scored, keeps_last=keeps_last)
    if settings.split == "corpus":
        return _by_corpus(settings, split, scored, keeps_last=keeps_last)
    if settings.split == "official":
        return _official(split, scored, keeps_last=keeps_last)
    if settings.val_size:
        how = "the last epoch was kept, validated on" if keeps_last else "the checkpoint was chosen on"
        chosen = f"{how} {settings.val_size:.0%} of the training part"
    elif keeps_last:
        chosen = "all other recordings were trained on, and the last epoch was kept"
    else:
        reference = ", as in the reference implementation" if settings.has_actors else ""
        chosen = (
            f"the checkpoint was chosen on these same recordings{reference}; expect lower scores on unseen speakers"
        )
    seen = "every test speaker is seen in training" if split is None else _seen(split)
    dependent = "Speaker-dependent" if seen.endswith("is seen in training") else "Random"
    return (
        f"{dependent}, {scored}: random split, {settings.test_size:.0%} of the recordings are held out (seed "
        f"{settings.split_seed}), {seen}; {chosen}."
    )


def _by_speaker(settings: DataSettings, split: Split | None, scored: str, *, keeps_last: bool) -> str:
    fold, who = settings.named_fold, "actors" if settings.has_actors else "speakers"
    validation = test = ""
    if fold is not None:
        validation, test = (_names(settings, part) for part in (fold.validation, fold.test))
    elif split is not None:
        validation, test = (_names(settings, _speakers(part)) for part in (split.validation, split.test))
    which = "" if fold else f"fold {settings.fold} of {settings.number_of_folds} (seed {settings.split_seed}), "
    unseen = f"Speaker-independent, {scored}: {which}test {who} {test} are unseen in training"
    if not test and fold is not None:
        unseen = f"Speaker-independent, {scored}: validation {who} {validation} are unseen in training and scored"
        return f"{unseen}; the last epoch was kept." if keeps_last else f"{unseen}; they chose the checkpoint too."
    if keeps_last:
        return f"{unseen}; so are validation {who} {validation}; the last epoch was kept."
    return f"{unseen}; the checkpoint was chosen on validation {who} {validation}."


def _by_corpus(settings: DataSettings, split: Split | None, scored: str, *, keeps_last: bool) -> str:
    chosen = "the last epoch was kept, validated on" if keeps_last else "the checkpoint was chosen on"
    of_all = "" if split is None else f" ({len(split.test)} recordings of the model's classes)"
    who = "speakers held out of the training corpora"
    if split is not None:
        who = f"{len(_speakers(split.validation))} {who}"
    return (
        f"Cross-corpus, {scored}: tested on all of {', '.join(settings.test_corpora)}{of_all}, unseen in training; "
        f"{chosen} {who} (seed {settings.split_seed})."
    )


def _official(split: Split | None, scored: str, *, keeps_last: bool) -> str:
    if split is None:
        return f"Official split of the corpus, {scored}."
    part = split.test or split.validation
    chosen = "the last epoch was kept"
    if not keeps_last:
        chosen = "the checkpoint was chosen on " + ("its validation part" if split.test else "these same recordings")
    return f"Official split of the corpus, {scored}: {len(part)} recordings are scored, {_seen(split)}; {chosen}."


def _seen(split: Split) -> str:
    """Return whose recordings are scored, in terms of the training part."""
    part = split.test or split.validation
    trained = {recording.speaker for recording in (*split.train, *(split.validation if split.test else ()))}
    speakers = {recording.speaker for recording in part}
    if None in speakers | trained:
        return (
            "the corpus does not name all speakers, so that the tested ones may be seen in training and the scores say "
            "nothing of unseen speakers"
        )
    n_seen = len(speakers & trained)
    if n_seen == len(speakers):
        return "every test speaker is seen in training"
    if not n_seen:
        return "every test speaker is unseen in training"
    return f"{n_seen} of {len(speakers)} test speakers are seen in training"


def _speakers(part: Sequence[Recording]) -> tuple[str, ...]:
    return tuple(sorted({str(recording.speaker) for recording in part}))


def _names(settings: DataSettings, speakers: Sequence[str]) -> str:
    names = [str(int(name)) if settings.has_actors else name for name in sorted(speakers)]
    return ", ".join(names[:_MOST_NAMES]) + (
        f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    )
