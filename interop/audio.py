"""The tone that the clients play to each other, and the ear that finds it again."""

import math
import struct
import wave

TONE_HZ = 440
AMPLITUDE = 9_000
# A window in which the tone is looked for.
WINDOW_S = 0.1
# The share of a window's energy at the tone's frequency. G.711 leaves a pure tone above 0.9, and
# speech and noise stay far below. Windows are short, for a busy machine tears holes.
ENOUGH = 0.7
# Longer recordings are judged by their end.
LAST_S = 8


def write_tone(path, seconds=30, rate=8_000):
    """Writes the tone as a mono wave file of 16 bits."""
    step = 2 * math.pi * TONE_HZ / rate
    second = b"".join(
        struct.pack("<h", int(AMPLITUDE * math.sin(step * i))) for i in range(rate)
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(second * seconds)


def samples(path):
    """(rate, samples of the first channel) of a wave file, also of one that is not closed yet."""
    data = path.read_bytes()
    form, start = data.find(b"fmt "), data.find(b"data")
    if form < 0 or start < 0:
        return 8_000, ()
    channels, rate = struct.unpack_from("<HI", data, form + 10)
    start += 8
    count = (len(data) - start) // 2
    return rate, struct.unpack_from(f"<{count}h", data, start)[::channels]


def share_of_tone(window, rate):
    """How much of the window's energy is at the tone's frequency (Goertzel)."""
    energy = sum(sample * sample for sample in window)
    if energy < len(window) * 10_000:
        return 0.0
    factor = 2 * math.cos(2 * math.pi * TONE_HZ / rate)
    before = last = 0.0
    for sample in window:
        before, last = last, sample + factor * last - before
    power = before * before + last * last - factor * before * last
    return power * 2 / len(window) / energy


def seconds_of_tone(path):
    """How many seconds of the tone are in a recording."""
    rate, sound = samples(path)
    sound = sound[-rate * LAST_S :]
    size = int(rate * WINDOW_S)
    windows = (sound[at : at + size] for at in range(0, len(sound) - size + 1, size))
    return WINDOW_S * sum(share_of_tone(window, rate) >= ENOUGH for window in windows)
