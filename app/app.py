"""What Streamlit runs: `ser app [--model <model>]`, or `streamlit run app/app.py [-- --model <model>]`."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])
# Streamlit puts this folder first, where `app` would be this file; and `ser`, beside it, may not be installed.
if sys.path[0] != ROOT:
    sys.path.insert(0, ROOT)

if __name__ == "__main__":
    from app.page import show_page

    show_page()
