"""The page: choose the model, take recordings, show the predictions."""

import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st
from streamlit.elements.widgets.audio_input import ALLOWED_SAMPLE_RATES

from app.capacity import (
    MAX_BYTES_OF_ALL,
    MAX_BYTES_OF_VISITOR,
    Capacity,
    bound_uploads,
    hold_to_one_thread,
    keep_uploads_in_memory,
    spare_from_collections,
)
from app.facts_section import show_facts
from app.markdown import plain
from app.model_choice import (
    OPTION,
    VARIABLE,
    ModelFile,
    find_models,
    label_of,
    load_model,
    named_model,
    open_model,
)
from app.reading import MAX_BYTES, MAX_FILES, Upload
from app.results_section import show_results
from ser.audio.formats import SUFFIXES
from ser.audio.io import MAX_SECONDS
from ser.errors import SerError
from ser.inference.predictor import Predictor

OUTPUTS = Path("outputs")
_MODELS_KEPT = 3

_INTRODUCTION = (
    "Drop a recording of a voice here, or speak a sentence: see which emotion a model predicts, and how confidently."
)
_NO_MODEL = f"""
There is no model yet: none is named, none is pretrained, and there is none below `{OUTPUTS}/`. Train one where this app
runs, in minutes on synthetic voices, to see how it all works:

```sh
ser train experiment=demo
```

Or train on real ones, with the 430 MB of RAVDESS from Zenodo:

```sh
ser corpus --download
ser train
```

Then reload this page: what is below `{OUTPUTS}/` can be chosen here. To run a model without PyTorch, export it:

```sh
ser export outputs/train --format onnx
```

Or name the model: a run's folder, a folder of runs (the newest is taken), a checkpoint, an `.onnx` or `.safetensors`
file. There are two ways:

```sh
ser app {OPTION} outputs/train
{VARIABLE}=outputs/train/<run>/model.onnx ser app
```
"""

_NO_HTTPS = (
    "This page was opened without HTTPS, and browsers keep the microphone from such pages. Open it by an address that "
    "begins with https://, or on the machine where it runs, as localhost; or upload a recording instead."
)
_MICROPHONE = (
    "Nothing happens, or an error is shown? Allow this page the microphone: in most browsers by the symbol to the left "
    "of the address."
)

log = logging.getLogger(__name__)


def show_page() -> None:
    """Show everything; an error is one sentence for the visitor, and a fault of the app goes to the server's log."""
    st.set_page_config(page_title="Emotion in speech")
    st.title("Emotion in speech", anchor=False)
    try:
        _show_content()
    except SerError as error:
        st.error(plain(str(error)), icon=":material/error:")
    except Exception:
        log.exception("The page failed")
        st.error("Something went wrong on the server; it has been logged. Reload the page to start again.")


def _show_content() -> None:
    model = _choose_model()
    if model is None:
        st.markdown(_NO_MODEL)
        return
    # Not as decorators: importing a part of the app calls nothing of Streamlit.
    capacity = st.cache_resource(_shared_capacity, show_spinner=False)()
    predictor = st.cache_resource(load_model, max_entries=_MODELS_KEPT, show_spinner="Loading the model …")(model)
    with st.sidebar:
        show_facts(model, predictor.metadata)
    st.markdown(_INTRODUCTION)
    upload, record = st.tabs([":material/upload: Upload", ":material/mic: Record"])
    with upload:
        _show_results("upload", _uploaded_files(), model, predictor, capacity)
    with record:
        _show_results("record", _recorded_sound(predictor), model, predictor, capacity)


def _choose_model() -> ModelFile | None:
    named = named_model(sys.argv[1:], os.environ)
    if named is not None:
        return open_model(named)
    models = find_models(OUTPUTS)
    if not models:
        return None
    # By path, which stays the same when a model is written anew.
    by_path = {model.path: model for model in models}
    chosen = st.sidebar.selectbox(
        "Model", list(by_path), format_func=lambda path: label_of(by_path[path], OUTPUTS), key="model"
    )
    return by_path[chosen]


def _shared_capacity() -> Capacity:
    hold_to_one_thread()  # before a model brings PyTorch with it
    keep_uploads_in_memory(MAX_BYTES)
    bound_uploads(of_visitor=MAX_BYTES_OF_VISITOR, of_all=MAX_BYTES_OF_ALL)
    spare_from_collections()
    return Capacity()


def _uploaded_files() -> list[Upload]:
    files = st.file_uploader(
        f"WAV, MP3, M4A and most others, one or many (up to {MAX_FILES}, {MAX_BYTES_OF_VISITOR // 2**20} MB in all): "
        f"at most {MAX_BYTES // 2**20} MB and {MAX_SECONDS / 60:.0f} minutes each",
        type=[suffix.removeprefix(".") for suffix in SUFFIXES],
        accept_multiple_files=True,
        max_upload_size=MAX_BYTES // 2**20,
        key="files",
    )
    return [Upload(key=file.file_id, name=file.name, content=file.getvalue()) for file in files]


def _recorded_sound(predictor: Predictor) -> list[Upload]:
    rate = predictor.metadata.features.sample_rate
    if not microphone_can_work(st.context.url):
        st.warning(_NO_HTTPS, icon=":material/mic_off:")
    sound = st.audio_input(
        "Speak a sentence: press the microphone, and again when you are done",
        sample_rate=rate if rate in ALLOWED_SAMPLE_RATES else None,
        key="sound",
    )
    if sound is None:
        st.caption(_MICROPHONE)
        return []
    return [Upload(key=sound.file_id, name="Your recording", content=sound.getvalue())]


def microphone_can_work(url: str | None) -> bool:
    """Return whether browsers give a page the microphone: by HTTPS, or from the machine itself.

    >>> [microphone_can_work(url) for url in ("https://a.org", "http://localhost:8501", "http://10.0.0.7:8501")]
    [True, True, False]
    """
    parts = urlsplit(url or "")
    host = parts.hostname or "localhost"  # no address is known in tests, and before the page is there
    return parts.scheme == "https" or host in ("localhost", "::1") or host.startswith("127.")


def _show_results(
    section: str, uploads: Iterable[Upload], model: ModelFile, predictor: Predictor, capacity: Capacity
) -> None:
    known_by = f"known-{section}"
    if st.session_state.get(f"model-{section}") != model:  # predictions are of one model
        st.session_state[f"model-{section}"] = model
        st.session_state[known_by] = {}
    show_results(list(uploads), predictor, known=st.session_state[known_by], capacity=capacity, key=section)
