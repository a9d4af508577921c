//! A tone, as G.711 µ-law samples at 8,000 Hz, and the ear for it.

use std::f64::consts::TAU;

/// Samples in one second.
pub(crate) const RATE: u32 = 8_000;
/// The frequency of the tone: concert pitch.
pub(crate) const HERTZ: f64 = 440.0;
/// How loud it is, of 1.
const LOUDNESS: f64 = 0.5;
/// The part of a sound's power that must be at the frequency for it to be our tone. Quantisation
/// leaves above 0.99 of it.
const PURITY: f64 = 0.9;
/// Below this it is silence.
const AUDIBLE: f64 = 0.05;

/// The samples of the tone from the `start`-th on.
pub(crate) fn samples(start: u32, count: u32) -> Vec<u8> {
    let phase = |n: u32| TAU * HERTZ * f64::from(n) / f64::from(RATE);
    let loudest = LOUDNESS * f64::from(i16::MAX);
    (start..start + count).map(|n| encode((loudest * phase(n).sin()) as i16)).collect()
}

/// Whether the samples are the tone, and hardly anything else.
pub(crate) fn is_tone(samples: &[u8]) -> bool {
    let sound: Vec<f64> =
        samples.iter().map(|&code| f64::from(decode(code)) / f64::from(i16::MAX)).collect();
    let count = sound.len() as f64;
    let power = sound.iter().map(|x| x * x).sum::<f64>() / count.max(1.0);
    if power.sqrt() < AUDIBLE {
        return false;
    }
    // The power of a sine is half the square of its amplitude; of `count` samples the filter
    // makes the square of half of `count` amplitudes.
    let at_pitch = goertzel(&sound) * 2.0 / (count * count);
    at_pitch / power > PURITY
}

/// The squared magnitude of a sound at our frequency: one step of a Fourier transform, by the
/// filter of Goertzel (1958).
fn goertzel(sound: &[f64]) -> f64 {
    let turn = 2.0 * (TAU * HERTZ / f64::from(RATE)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for x in sound {
        (last, before) = (x + turn * last - before, last);
    }
    last * last + before * before - turn * last * before
}

/// What is added before the logarithm (ITU-T G.711).
const BIAS: i32 = 0x84;
/// The loudest sample that can be written.
const CLIP: i32 = 0x7fff - BIAS;

/// Linear to µ-law (ITU-T G.711 table 2a, all bits inverted on the wire).
fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let size = i32::from(sample).abs().min(CLIP) + BIAS;
    let segment = (24 - size.leading_zeros()).min(7);
    let step = (size >> (segment + 3)) & 0x0f;
    !(sign | (segment as u8) << 4 | step as u8)
}

/// µ-law to linear.
fn decode(code: u8) -> i16 {
    let code = !code;
    let size = ((i32::from(code & 0x0f) << 3) + BIAS) << (code >> 4 & 7);
    let size = size - BIAS;
    (if code & 0x80 == 0 { size } else { -size }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_is_g_711() {
        for (sample, code) in [
            (0, 0xff),
            (-4, 0x7e),
            (8, 0xfe),
            (100, 0xf2),
            (-100, 0x72),
            (1_000, 0xce),
            (8_000, 0xa0),
            (-8_000, 0x20),
            (32_767, 0x80),
            (-32_768, 0x00),
        ] {
            assert_eq!(encode(sample), code, "{sample}");
        }
        for code in 0..=255 {
            let back = encode(decode(code));
            // There are two zeros.
            assert!(back == code || code == 0x7f && back == 0xff, "{code:#x} {back:#x}");
        }
        for sample in (-32_000..32_000).step_by(7) {
            let error = (i32::from(decode(encode(sample))) - i32::from(sample)).abs();
            assert!(error <= 4 + i32::from(sample.unsigned_abs()) / 28, "{sample}: {error}");
        }
    }

    fn sound(hertz: f64, loudness: f64) -> Vec<u8> {
        let at = |n: i32| (f64::from(n) * TAU * hertz / 8_000.0).sin() * loudness * 32_767.0;
        (0..160).map(|n| encode(at(n) as i16)).collect()
    }

    #[test]
    fn the_ear_knows_the_tone_from_all_else() {
        for start in [0, 1, 80, 159, 12_345] {
            assert!(is_tone(&samples(start, 160)), "{start}");
        }
        assert!(is_tone(&sound(440.0, 0.2)) && is_tone(&sound(445.0, 0.5)));
        for hertz in [350.0, 400.0, 480.0, 880.0, 1_000.0] {
            assert!(!is_tone(&sound(hertz, 0.5)), "{hertz}");
        }
        assert!(!is_tone(&sound(440.0, 0.01)), "too soft");
        assert!(!is_tone(&[0xff; 160]), "silence");
        assert!(!is_tone(&[]));
        let noise: Vec<u8> = (0..160u32).map(|n| (n * n * 97 % 251) as u8).collect();
        assert!(!is_tone(&noise));
    }
}
