//! G.711, both laws, and how strongly a tone is in a sound (Goertzel's algorithm).

use super::Codec;

/// A sample as A-law (ITU-T G.711).
pub fn to_alaw(sample: i16) -> u8 {
    const EVEN_BITS: u8 = 0x55;
    let positive = sample >= 0;
    // Thirteen bits; the negative side is one step nearer to nothing.
    let magnitude = if positive { sample >> 3 } else { (-(sample >> 3)) - 1 };
    let sign: u8 = if positive { 0x80 } else { 0 };
    let high = 15 - magnitude.max(1).leading_zeros();
    let code = if high < 5 { magnitude >> 1 } else { ((i16::try_from(high).unwrap_or(0) - 4) << 4) | ((magnitude >> (high - 4)) & 0x0f) };
    (sign | u8::try_from(code.clamp(0, 127)).unwrap_or(127)) ^ EVEN_BITS
}

/// A-law as a sample.
pub fn from_alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = ((byte >> 4) & 7, i16::from(byte & 0x0f));
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        exponent => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}

/// A sample as µ-law.
pub fn to_ulaw(sample: i16) -> u8 {
    const BIAS: i32 = 0x84;
    const CLIP: i32 = 32_635;
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    let exponent = 31 - magnitude.leading_zeros() - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let code = u8::try_from((exponent << 4) | mantissa.cast_unsigned()).unwrap_or(0x7f);
    !(sign | code)
}

/// µ-law as a sample.
pub fn from_ulaw(byte: u8) -> i16 {
    let byte = !byte;
    let (exponent, mantissa) = ((byte >> 4) & 7, i16::from(byte & 0x0f));
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// How a byte of this codec sounds; nothing for codecs that take more than a byte to tell.
pub fn decoder(codec: Codec) -> Option<fn(u8) -> i16> {
    match codec {
        Codec::Pcma => Some(from_alaw),
        Codec::Pcmu => Some(from_ulaw),
        Codec::G722 => None,
    }
}

/// The share of a sound's energy that is at this frequency, from 0 to 1. `samples` at 8000 a second.
pub fn share(samples: &[i16], hertz: f64) -> f64 {
    let all: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    let count = f64::from(u32::try_from(samples.len()).unwrap_or(u32::MAX));
    if all < 1.0 { 0.0 } else { (power(samples, hertz) * 2.0 / (all * count)).min(1.0) }
}

/// Goertzel: the power of a sound at one frequency.
pub fn power(samples: &[i16], hertz: f64) -> f64 {
    let coefficient = 2.0 * (2.0 * std::f64::consts::PI * hertz / 8_000.0).cos();
    let (one, two) = samples.iter().fold((0.0, 0.0), |(one, two), &sample| (f64::from(sample) + coefficient * one - two, one));
    one * one + two * two - coefficient * one * two
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_being_heard_and_written_again() {
        for byte in 0..=u8::MAX {
            assert_eq!(to_alaw(from_alaw(byte)), byte, "A-law {byte:#x} is {}", from_alaw(byte));
            // µ-law has two nothings.
            let again = to_ulaw(from_ulaw(byte));
            assert!(again == byte || (byte == 0x7f && again == 0xff), "µ-law {byte:#x} is {}", from_ulaw(byte));
        }
    }

    #[test]
    fn known_values() {
        assert_eq!((to_alaw(0), to_alaw(-1), to_ulaw(0)), (0xd5, 0x55, 0xff));
        assert_eq!((from_alaw(0xd5), from_alaw(0x2a), from_alaw(0xaa)), (8, -32_256, 32_256));
        assert_eq!((from_ulaw(0xff), from_ulaw(0x80), from_ulaw(0x00)), (0, 32_124, -32_124));
    }

    #[test]
    fn samples_come_back_near_to_what_they_were() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            for back in [from_alaw(to_alaw(sample)), from_ulaw(to_ulaw(sample))] {
                let apart = (i32::from(back) - i32::from(sample)).abs();
                assert!(apart <= 16 + i32::from(sample).abs() / 16, "{sample} came back as {back}");
            }
        }
    }

    #[test]
    fn a_tone_is_where_it_sounds() {
        #[expect(clippy::cast_possible_truncation, reason = "within 8000")]
        let tone: Vec<i16> =
            (0..800).map(|at| (8_000.0 * (2.0 * std::f64::consts::PI * 1_000.0 * f64::from(at) / 8_000.0).sin()) as i16).collect();
        assert!(share(&tone, 1_000.0) > 0.95 && share(&tone, 1_300.0) < 0.01);
        assert!(share(&[0; 160], 1_000.0) < 0.01);
    }
}
