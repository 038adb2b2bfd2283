"""From an upload to what the page shows of it, or to the one sentence that gives the reason why it shows nothing."""

import logging
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from app.capacity import Capacity
from app.sound_picture import SoundPicture, draw
from ser.audio.io import read_sound
from ser.corpora.ravdess import parse_stem
from ser.errors import AudioError
from ser.inference.predictor import Predictor
from ser.inference.results import Prediction

MAX_FILES = 100
"""Recordings that one visitor may have on the page; an actor of RAVDESS has 104, speech and song together."""
MAX_BYTES = 20 * 1024 * 1024
"""Of one file."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file or recording of a visitor.

    Attributes
    ----------
    key : unique among a visitor's uploads, the same as long as the content is.
    name : the file's name.
    suffix : of its format; "" where the name has it.
    content : the bytes of a sound file.
    """

    key: str
    name: str
    content: bytes
    suffix: str = ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The prediction of an upload, and its picture. It holds no sound.

    Attributes
    ----------
    prediction : overall and by utterance.
    picture : what is drawn.
    truth : the emotion in a RAVDESS file name; None for other names.
    """

    prediction: Prediction
    picture: SoundPicture
    truth: str | None

    @property
    def is_right(self) -> bool:
        """Whether the predicted emotion is that of the name."""
        return self.prediction.emotion == self.truth


Outcome = Reading | str
"""A reading, or the sentence that gives the reason why there is none."""


def read(upload: Upload, predictor: Predictor) -> Reading:
    """Decode, predict and draw one upload.

    Raises
    ------
    AudioError : too large a file, or as `ser.audio.io.read_sound`.
    """
    if len(upload.content) > MAX_BYTES:
        size = len(upload.content) / 2**20
        raise AudioError(f"{upload.name} has {size:.0f} MB; at most {MAX_BYTES // 2**20} MB can be read. Cut it.")
    rate = predictor.metadata.features.sample_rate
    sound = read_sound(upload.content, sample_rate=rate, name=upload.name)
    prediction = predictor.predict_sound(sound, name=upload.name)
    named = parse_stem(PurePath(upload.name).stem)
    return Reading(
        prediction=prediction,
        picture=draw(sound.waveform, predictor.metadata.features, prediction),
        truth=named.emotion if named else None,
    )


def read_all(
    uploads: Sequence[Upload],
    predictor: Predictor,
    *,
    known: MutableMapping[str, Outcome],
    capacity: Capacity,
    report: Callable[[int, int], None],
) -> None:
    """Bring `known` up to date: read the uploads that it lacks, forget those that are gone.

    Parameters
    ----------
    known : key of an upload to its outcome; filled one by one, so that an interrupted call is not lost.
    report : called before each recording with the number that are done and the number of all.

    Raises
    ------
    BusyError : the server is; the recordings read by then are known.
    """
    for gone in known.keys() - {upload.key for upload in uploads}:
        del known[gone]
    missing = [upload for upload in uploads if upload.key not in known]
    for done, upload in enumerate(missing):
        report(done, len(missing))
        with capacity.turn():
            known[upload.key] = _try_to_read(upload, predictor)


def _try_to_read(upload: Upload, predictor: Predictor) -> Outcome:
    try:
        return read(upload, predictor)
    except AudioError as error:
        return str(error)
    except Exception:
        # Not the name: it is the visitor's own.
        log.exception("A recording of %d bytes could not be read", len(upload.content))
        return f"{upload.name} could not be read: something went wrong on the server. Other recordings may work."
