"""What a visitor gives: an example to click, a sentence to speak, files to upload."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import streamlit as st
from streamlit.elements.widgets.audio_input import ALLOWED_SAMPLE_RATES

from app.capacity import MAX_BYTES_OF_VISITOR
from app.context import Said, show_switch
from app.examples import EXAMPLES, LABEL
from app.reading import MAX_BYTES, MAX_FILES, Upload
from ser.audio.formats import SUFFIXES
from ser.audio.io import MAX_SECONDS
from ser.models.metadata import ModelMetadata

Source = Literal["example", "speak", "upload"]

_BY_LABEL = {example.label: example for example in EXAMPLES}
_NO_HTTPS = (
    "This page was opened without HTTPS, and browsers keep the microphone from such pages. Open it by an address that "
    "begins with https://, or on the machine where it runs, as localhost; or upload a recording instead."
)
_HOW_TO_SPEAK = "Press the microphone, speak a sentence, and press again."
_MICROPHONE = """
- **Nothing happens, or an error is shown.** Allow this page the microphone: in most browsers by the symbol to the
  left of the address. Then reload the page.
- **It records, but no speech is found.** Is it muted, or is another microphone chosen in the browser's settings?
- **There is none.** Record the sentence on a phone, and upload the file.
"""
_FILES = (
    f"One or many: WAV, MP3, FLAC, OGG and others. Up to {MAX_FILES} files of at most {MAX_SECONDS / 60:.0f} minutes "
    f"and {MAX_BYTES // 2**20} MB each, {MAX_BYTES_OF_VISITOR // 2**20} MB in all."
)


@dataclass(frozen=True, kw_only=True)
class Given:
    """The sounds to answer now.

    Attributes
    ----------
    source : where they are from.
    uploads : at least one.
    note : what must be said beside the answer; "" where there is nothing.
    with_context : whether what the visitor said before is to be the context.
    """

    source: Source
    uploads: tuple[Upload, ...]
    note: str = ""
    with_context: bool = False


def take_sounds(metadata: ModelMetadata, said: Said) -> Given | None:
    """Show the three ways to give a sound, and return what was given last; None where nothing is.

    Parameters
    ----------
    said : what the visitor spoke before, of this model.
    """
    given: dict[Source, Given | None] = {"example": _example()}
    # Written before the uploads, which stand beside it on a wide screen and below it on a phone.
    speak, upload = st.columns(2, border=True)
    with speak:
        given["speak"] = _speak(metadata, said)
    with upload:
        given["upload"] = _uploads()
    return newest(given, st.session_state.get("source"))


def newest(given: Mapping[Source, Given | None], last: Source | None) -> Given | None:
    """Return what was given by `last`, the way that was used last, or by another where that has nothing any more."""
    if last is not None and (found := given[last]) is not None:
        return found
    return next((found for found in given.values() if found is not None), None)


def microphone_can_work(url: str | None) -> bool:
    """Return whether browsers give a page the microphone: by HTTPS, or from the machine itself.

    >>> [microphone_can_work(url) for url in ("https://a.org", "http://localhost:8501", "http://10.0.0.7:8501")]
    [True, True, False]
    """
    parts = urlsplit(url or "")
    host = parts.hostname or "localhost"  # no address is known in tests, and before the page is there
    return parts.scheme == "https" or host in ("localhost", "::1") or host.startswith("127.")


def _example() -> Given | None:
    label = st.pills(
        "Try an example", list(_BY_LABEL), key="example", on_change=_remember, args=("example",), wrap=True
    )
    st.caption(LABEL)
    if label is None:
        return None
    example = _BY_LABEL[label]
    return Given(source="example", uploads=(example.upload(),), note=example.note)


def _speak(metadata: ModelMetadata, said: Said) -> Given | None:
    rate = metadata.features.sample_rate
    sound = st.audio_input(
        "Speak",
        sample_rate=rate if rate in ALLOWED_SAMPLE_RATES else None,
        key="sound",
        on_change=_remember,
        args=("speak",),
    )
    if microphone_can_work(st.context.url):
        st.caption(_HOW_TO_SPEAK)
        with st.popover("Trouble with the microphone?", type="tertiary"):
            st.markdown(_MICROPHONE)
    else:
        st.warning(_NO_HTTPS, icon=":material/mic_off:")
    with_context = show_switch(metadata, len(said.keys() - {sound.file_id if sound else ""}))
    if sound is None:
        return None
    upload = Upload(key=sound.file_id, name="Your recording", content=sound.getvalue(), suffix=".wav")
    return Given(source="speak", uploads=(upload,), with_context=with_context)


def _uploads() -> Given | None:
    files = st.file_uploader(
        "Upload",
        type=[suffix.removeprefix(".") for suffix in SUFFIXES],
        accept_multiple_files=True,
        max_upload_size=MAX_BYTES // 2**20,
        key="files",
        on_change=_remember,
        args=("upload",),
    )
    st.caption(_FILES)
    uploads = tuple(Upload(key=file.file_id, name=file.name, content=file.getvalue()) for file in files)
    return Given(source="upload", uploads=uploads) if uploads else None


def _remember(source: Source) -> None:
    st.session_state["source"] = source
    if source != "example":
        st.session_state["example"] = None  # so that none seems chosen whose answer is not shown
