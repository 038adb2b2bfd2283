"""Sound from outside to a mono float32 waveform.

`io` reads files and bytes, `wav` checks a WAV header before a decoder sees it, `trim` cuts off silence and normalises
the level, `voice_activity` finds speech by the network in `silero`. Takes numbers, no settings of other rooms.
"""
