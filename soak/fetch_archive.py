"""Download and unpack one archive, for the soak that kills it.

python soak/fetch_archive.py ROOT ADDRESS NAME SIZE MD5 READY
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ser.corpora.download import Archive, download_corpus


def main() -> None:
    """Make READY when all is imported, then fetch into ROOT."""
    root, address, name, size, md5, ready = sys.argv[1:]
    Path(ready).touch()
    archive = Archive(channel="speech", name=name, size=int(size), md5=md5)
    download_corpus(Path(root), archives=[archive], address=address)


if __name__ == "__main__":
    main()
