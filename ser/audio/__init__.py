"""Sound from outside to a mono float32 waveform.

`io` reads paths, streams, bytes and arrays. A decoder sees no header but one of ours: `wav` and `aiff` read those of
the files, `bare` writes it, `formats` tells what goes where, and `ffmpeg` decodes the rest. `levels` counts what goes
through, `folder` finds files, `trim` cuts off silence and normalises the level, `voice_activity` finds speech by the
network in `silero`. Takes numbers, no settings of other rooms.
"""
