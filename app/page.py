"""The page: choose the model, take sounds, show the answers."""

import logging
import os
import sys
from pathlib import Path

import streamlit as st

from app.capacity import (
    MAX_BYTES_OF_ALL,
    MAX_BYTES_OF_VISITOR,
    Capacity,
    bound_uploads,
    hold_to_one_thread,
    keep_uploads_in_memory,
    spare_from_collections,
)
from app.components import ASSETS
from app.context import Said, takes_context, with_others
from app.facts import find_scores
from app.facts_section import show_facts, show_limits
from app.inputs import Given, take_sounds
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
from app.reading import MAX_BYTES
from app.results_section import Model, show_results
from ser.errors import SerError
from ser.inference.predictor import Predictor

OUTPUTS = Path("outputs")
_MODELS_KEPT = 3

_INTRODUCTION = "Which emotion does a voice express? Try an example, speak a sentence, or upload a recording."
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

log = logging.getLogger(__name__)


def show_page() -> None:
    """Show everything; an error is one sentence for the visitor, and a fault of the app goes to the server's log."""
    st.set_page_config(page_title="Emotion in speech")
    st.html(ASSETS / "page.css")
    st.title("Emotion in speech", anchor=False)
    try:
        _show_content()
    except SerError as error:
        st.error(plain(str(error)), icon=":material/error:")
    except Exception:
        log.exception("The page failed")
        st.error("Something went wrong on the server; it has been logged. Reload the page to start again.")


def _show_content() -> None:
    models = _find_models()
    if not models:
        st.markdown(_NO_MODEL)
        return
    # Not as decorators: importing a part of the app calls nothing of Streamlit.
    capacity = st.cache_resource(_shared_capacity, show_spinner=False)()
    file = _choose_model(models)
    predictor = _load(file)
    with st.sidebar:
        show_facts(file, predictor.metadata)
    st.markdown(_INTRODUCTION)
    given = take_sounds(predictor.metadata, _said(file))
    if given is not None:
        others = [one for one in models if one != file]
        other = next((one for one in others if one.path == st.session_state.get("other")), None)
        answering = _answering([one for one in (file, other) if one is not None], given)
        show_results(given, answering, capacity=capacity)
        if others:
            _offer_comparison(others)
    show_limits(predictor.metadata)


def _find_models() -> list[ModelFile]:
    """Return the models that can be chosen: the one that is named, else all that there are."""
    if (named := named_model(sys.argv[1:], os.environ)) is not None:
        return [open_model(named)]
    return find_models(OUTPUTS)


def _choose_model(models: list[ModelFile]) -> ModelFile:
    if len(models) == 1:
        return models[0]
    by_path = {model.path: model for model in models}
    chosen = st.sidebar.selectbox(
        "Model", list(by_path), format_func=lambda path: label_of(by_path[path], OUTPUTS), key="model"
    )
    return by_path[chosen]


def _offer_comparison(others: list[ModelFile]) -> None:
    by_path = {model.path: model for model in others}
    if st.session_state.get("other") not in by_path:
        st.session_state["other"] = None  # it has become the first model, or is gone
    st.selectbox(
        "Compare with another model",
        list(by_path),
        index=None,
        format_func=lambda path: label_of(by_path[path], OUTPUTS),
        placeholder="Choose a model to answer beside this one",
        key="other",
    )


def _load(file: ModelFile) -> Predictor:
    return st.cache_resource(load_model, max_entries=_MODELS_KEPT, show_spinner="Loading the model …")(file)


def _said(file: ModelFile) -> Said:
    """Return the summaries of what the visitor spoke in this session, as a model makes them; to be added to."""
    return st.session_state.setdefault("said", {}).setdefault(file, {})


def _answering(files: list[ModelFile], given: Given) -> list[Model]:
    """Return models with their outcomes of the visitor's sounds from this source; what others said is forgotten."""
    before = st.session_state.get(f"known-{given.source}", {})
    known, models = {}, []
    for file in files:
        predictor, n_context = _load(file), 0
        if given.with_context and takes_context(predictor.metadata):
            predictor, n_context = with_others(predictor, _said(file), given.uploads[0].key)
        known[file, n_context] = before.get((file, n_context), {})
        models.append(
            Model(
                predictor=predictor,
                scores=find_scores(file, predictor.metadata),
                known=known[file, n_context],
                title=label_of(file, OUTPUTS) if len(files) > 1 else "",
                said=_said(file) if given.source == "speak" and takes_context(predictor.metadata) else None,
                n_context=n_context,
            )
        )
    st.session_state[f"known-{given.source}"] = known
    return models


def _shared_capacity() -> Capacity:
    hold_to_one_thread()  # before a model brings PyTorch with it
    keep_uploads_in_memory(MAX_BYTES)
    bound_uploads(of_visitor=MAX_BYTES_OF_VISITOR, of_all=MAX_BYTES_OF_ALL)
    spare_from_collections()
    return Capacity()
