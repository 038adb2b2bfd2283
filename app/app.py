"""What Streamlit runs: `streamlit run app/app.py [-- checkpoint=<a run's folder, a checkpoint or an .onnx file>]`."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])
# Streamlit puts this folder first, where `app` would be this file; and `ser`, beside it, may not be installed.
if sys.path[0] != ROOT:
    sys.path.insert(0, ROOT)

if __name__ == "__main__":
    from app.page import show_page

    show_page()
