"""Sound formats by the suffixes of their files."""

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
