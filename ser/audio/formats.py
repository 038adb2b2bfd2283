"""Sound formats by the suffixes of their files and by how they begin: what is decoded here, and what by ffmpeg."""

from dataclasses import dataclass

DECODED = (
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64",
    ".rf64",
)  # fmt: skip
"""Suffixes of what libsndfile decodes."""
VIA_FFMPEG = (
    ".m4a", ".m4b", ".aac", ".amr", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".mka", ".wma", ".wmv",
    ".avi", ".flv", ".mpg", ".mpeg", ".mts", ".ape", ".wv", ".tta", ".ac3", ".spx", ".voc", ".sph",
)  # fmt: skip
"""Suffixes of what ffmpeg decodes where it is installed; of video the sound."""
SUFFIXES = DECODED + VIA_FFMPEG
NAMES = "WAV, FLAC, OGG, Opus, MP3, AIFF, AU, CAF, W64; M4A, WebM, AMR, video and others by ffmpeg"
"""What can be read, for messages."""

START_BYTES = 512
"""Of a file, for `is_decoded` and `foreign_kind`."""
_SIGNATURES = (b"fLaC", b"OggS", b"ID3")
"""How FLAC, OGG and tagged MP3 begin."""
_FOREIGN = (
    *((4, atom, "M4A, MP4 or MOV") for atom in (b"ftyp", b"moov", b"mdat", b"wide")),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (0, b"#!AMR", "AMR"),
    (0, bytes.fromhex("3026b2758e66cf11"), "WMA or WMV"),
    (8, b"AVI ", "AVI"),
    (0, b"FLV\x01", "FLV"),
    (0, b"\0\0\x01\xba", "MPEG video"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"TTA1", "True Audio"),
    (0, b"\x0b\x77", "AC-3"),
    (28, b"Speex   ", "Speex"),
    (28, b"\x80theora", "OGG video"),
    (0, b"Creative Voice File\x1a", "VOC"),
    (0, b"NIST_1A\n", "NIST SPHERE"),
    (0, b"RIFX", "big-endian WAV"),
)
"""Place, bytes there, and format."""


@dataclass(frozen=True)
class Foreign:
    """A sound file that is left to ffmpeg; `kind` says of which format it is."""

    kind: str


def foreign_kind(start: bytes) -> str | None:
    """Return the format of a file that begins so and that ffmpeg decodes, or None where none of them is recognised."""
    for place, signature, kind in _FOREIGN:
        if start[place : place + len(signature)] == signature:
            return kind
    if is_adts(start):
        return "AAC"
    if len(start) > 376 and {start[0], start[188], start[376]} == {0x47}:  # packets of ISO 13818-1
        return "MPEG video"
    return None


def is_adts(start: bytes) -> bool:
    """Return whether a frame of AAC begins: twelve ones and, where MPEG audio has its layer, zeros (ISO 13818-7)."""
    return len(start) >= 2 and start[0] == 0xFF and start[1] & 0xF6 == 0xF0


def is_decoded(start: bytes) -> bool:
    """Return whether a file begins as FLAC, OGG or MP3 do: its bytes go to libsndfile unchanged."""
    # A frame of MPEG audio begins with eleven ones (ISO 11172-3).
    return start.startswith(_SIGNATURES) or (len(start) >= 2 and start[0] == 0xFF and start[1] >= 0xE0)
