"""Sound from outside: any file or bytes to a mono float32 waveform, trimmed and levelled."""
