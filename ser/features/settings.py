"""The settings of the group `features`, and what follows from them: names and places of the rows."""

from dataclasses import field
from itertools import accumulate
from typing import Annotated, Any, Literal

from pydantic import Field

from ser.errors import SettingsError
from ser.features._analysis import FrameSettings
from ser.features.groups import GROUPS, FeatureGroup
from ser.features.validation import ListOf, settings_dataclass, suggestion

_Names = Annotated[ListOf[str], Field(min_length=1)]


@settings_dataclass
class FeatureSettings(FrameSettings):
    """What `ser.features.extract.extract` computes; the defaults are the baseline recipe, 187 rows.

    Attributes
    ----------
    sample_rate : of the waveforms, in Hz.
    n_fft, hop_length : samples of a frame (even), and from one frame to the next.
    n_mfcc, n_mels, n_chroma : rows of these groups; the deltas have `n_mfcc` rows each, "mel" and "logmel" `n_mels`.
    n_bands : octave bands of the spectral contrast above the lowest, so that it has `n_bands + 1` rows.
    tuning : deviation from A440 in chroma steps, -0.5 to 0.5, or "estimate" to find it in each recording.
    max_length : frames that the network takes: longer recordings are cut, shorter ones padded with zeros.
    groups : names of `ser.features.groups.GROUPS` and of `own_groups`, in the order of the rows.
    own_groups : further groups, by name. They are no part of a model's metadata: who loads a model hands its own in.
    trim, level_db : what `ser.audio.trim` does to a waveform beforehand: whether the silence around the voice is cut
        off, and the level that the voice is brought to, in dB below full scale; None: no change.
    backend : "fast" computes with numpy alone what it can, "librosa" calls librosa for every group. The values agree
        within rounding; librosa is what the fast way is tested against.
    """

    max_length: Annotated[int, Field(ge=1, le=30_000)] = 216  # at most ten minutes
    groups: _Names = ("mfcc", "delta", "delta2", "chroma", "mel", "zcr", "contrast")
    own_groups: Annotated[dict[str, Any], Field(exclude=True)] = field(default_factory=dict, hash=False)
    trim: bool = False
    level_db: Annotated[float, Field(ge=-60, le=0)] | None = None
    backend: Literal["fast", "librosa"] = "fast"

    def __post_init__(self) -> None:
        for name, own in self.own_groups.items():
            if name in GROUPS or not isinstance(own, FeatureGroup):
                wrong = "the name of a group of this package" if name in GROUPS else f"{own!r} and no FeatureGroup"
                raise SettingsError(f"own_groups.{name} is {wrong}; give another.")
        for name in self.groups:
            if name not in self.known_groups:
                raise SettingsError(
                    f"groups has {name!r}; one of your own is handed in as feature_groups={{{name!r}: <its "
                    f"FeatureGroup>}}, by --feature-group {name}=<module>.<function>, to `ser evaluate` by "
                    f"+feature_groups.{name}=..., in training as features.own_groups.{name}; "
                    f"{suggestion(name, self.known_groups)}."  # last, because a list of them all may be cut
                )
            if self.groups.count(name) > 1:
                raise SettingsError(f"groups names {name!r} more than once.")
            group = self.known_groups[name]
            if group.check:
                group.check(self)
            if self.backend == "librosa" and not group.librosa:
                raise SettingsError(f"backend is 'librosa', which has no {name!r}: set backend=fast or leave it out.")

    @property
    def known_groups(self) -> dict[str, FeatureGroup]:
        """The groups by name: ours and `own_groups`."""
        return {**GROUPS, **self.own_groups}

    @property
    def n_features(self) -> int:
        """Rows of the features: 187 by default, 188 with "rms"."""
        return sum(self.known_groups[name].n_rows(self) for name in self.groups)

    @property
    def duration(self) -> float:
        """Seconds that `max_length` frames last: 5.02 by default."""
        return self.max_length * self.hop_length / self.sample_rate

    @property
    def needs_librosa(self) -> bool:
        return self.backend == "librosa" or any(self.known_groups[name].fast is None for name in self.groups)


def rows_of(settings: FeatureSettings) -> dict[str, slice]:
    """Return where each group of `settings.groups` lies among the rows.

    >>> rows_of(FeatureSettings())["chroma"]
    slice(39, 51, None)
    """
    sizes = {name: settings.known_groups[name].n_rows(settings) for name in settings.groups}
    stops = accumulate(sizes.values())
    return {name: slice(stop - size, stop) for (name, size), stop in zip(sizes.items(), stops, strict=True)}


def feature_names(settings: FeatureSettings) -> tuple[str, ...]:
    """Return a name for each row: "mfcc_0", ..., "chroma_0", ..., "zcr", ..., "contrast_6".

    >>> feature_names(FeatureSettings(groups=("zcr", "mfcc"), n_mfcc=2))
    ('zcr', 'mfcc_0', 'mfcc_1')
    """
    names: list[str] = []
    for name in settings.groups:
        group = settings.known_groups[name]
        names += [f"{name}_{row}" for row in range(group.n_rows(settings))] if group.rows else [name]
    return tuple(names)
