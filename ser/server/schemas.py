"""What the server answers, for its OpenAPI. The rows are those of `Prediction.to_dict` and `Failure.to_dict`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ser.inference.results import NO_SPEECH, NOT_ENOUGH_SPEECH, SPEECH

_UTTERANCE: dict[str, Any] = {
    "start": 0.41,
    "end": 3.02,
    "emotion": "happy",
    "confidence": 0.81,
    "probabilities": {"neutral": 0.05, "happy": 0.81, "angry": 0.14},
}


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Utterance(_Answer):
    """A stretch of speech of a recording, and its prediction."""

    start: float = Field(description="seconds from the beginning of the recording")
    end: float = Field(description="seconds from the beginning of the recording")
    emotion: str = Field(description="the most probable class")
    confidence: float = Field(ge=0, le=1, description="its probability")
    probabilities: dict[str, float] = Field(description="by class, in the order of the model; they sum to 1")


class PredictedRecording(_Answer):
    """The prediction of a recording: the mean of its utterances, weighted by speech. Without speech, no emotion."""

    file: str = Field(description="the name that the recording was sent by")
    status: str = Field(json_schema_extra={"enum": [SPEECH, NOT_ENOUGH_SPEECH, NO_SPEECH]})
    emotion: str | None = Field(description="the most probable class")
    confidence: float | None = Field(ge=0, le=1, description="its probability")
    uncertain: bool = Field(description="whether the confidence is below the model's rejection threshold")
    probabilities: dict[str, float] = Field(description="by class; empty without speech")
    speech: float = Field(ge=0, description="seconds of speech")
    duration: float = Field(ge=0, description="seconds of the recording")
    context_size: int = Field(
        default=0, ge=0, description="other recordings of the speaker that the model knew; only where it takes context"
    )
    warnings: list[str] = Field(description="doubts about the sound, in sentences; mostly empty")
    utterances: list[Utterance] = Field(description="the timeline")


class UnreadableRecording(_Answer):
    """A recording that cannot be read."""

    file: str = Field(description="the name that the recording was sent by")
    error: str = Field(description="why, in one sentence")


class ModelName(_Answer):
    """Which model has answered."""

    name: str
    fingerprint: str = Field(description="SHA-256 of the model, its first 16 digits; models that differ differ in it")


_MODEL: dict[str, Any] = {"name": "ser-ravdess", "fingerprint": "sha256:0123456789abcdef"}


class Predictions(_Answer):
    """The results, in the order of the files."""

    model: ModelName
    results: list[PredictedRecording | UnreadableRecording]

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": _MODEL,
                "results": [
                    {
                        "file": "hello.wav",
                        "status": SPEECH,
                        **{key: _UTTERANCE[key] for key in ("emotion", "confidence", "probabilities")},
                        **{"uncertain": False, "speech": 2.4, "duration": 3.4, "warnings": []},
                        "utterances": [_UTTERANCE],
                    },
                    {"file": "notes.wav", "error": "notes.wav is empty."},
                ],
            }
        }
    )


class RecipeScores(_Answer):
    """The scores of other networks of the same recipe in a cross-validation."""

    protocol: str
    n_recordings: int
    accuracy: float
    uar: float = Field(description="unweighted average recall: the mean recall of the classes")


class Model(ModelName):
    """A model that answers."""

    class_names: list[str]
    sample_rate: int = Field(description="Hz; other rates are resampled")
    window: float = Field(description="seconds that an utterance lasts at most")
    rejection_threshold: float = Field(description="a prediction of less confidence is uncertain")
    protocol: str = Field(description="what it was trained on")
    scores: RecipeScores | None = Field(description="what to expect")


class Models(_Answer):
    """The models of the server; there is one."""

    models: list[Model]


class Health(_Answer):
    """The server answers."""

    status: Literal["ok"]


class Problem(BaseModel):
    """What is wrong with a request (RFC 9457)."""

    title: str = Field(description="the name of the status")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="what is wrong and what helps, in one sentence")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"title": "Unprocessable Content", "status": 422, "detail": "notes.wav is empty."}
        }
    )
