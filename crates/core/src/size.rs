//! Sizes as people write them: `500MB` (SI, powers of 1000), `10GiB` (powers of 1024), `10M` (SI, as `10MB`).

use std::fmt;

use bytesize::ByteSize;

/// The text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size; expected something like `500MB` (powers of 1000), `10GiB` (powers of 1024) or `10M` (as `10MB`)")]
pub struct SizeError;

/// Parses a size into bytes; a bare number is bytes.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    text.trim().parse::<ByteSize>().map(|size| size.as_u64()).map_err(|_| SizeError)
}

/// Shows bytes in powers of 1000 with one decimal: `4.1 MB`.
#[derive(Clone, Copy, Debug)]
pub struct HumanBytes(pub u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ByteSize(self.0).display().si().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn si_and_iec_are_told_apart() {
        assert_eq!(parse("10M"), Ok(10_000_000));
        assert_eq!(parse("500MB"), Ok(500_000_000));
        assert_eq!(parse("10GiB"), Ok(10 << 30));
        assert_eq!(parse("10 GiB"), Ok(10 << 30));
        assert_eq!(parse("123"), Ok(123));
        for text in ["", "-1", "ten", "1XB", "-5M"] {
            assert_eq!(parse(text), Err(SizeError), "{text}");
        }
        assert_eq!(HumanBytes(4_096_000).to_string(), "4.1 MB");
        assert_eq!(HumanBytes(812).to_string(), "812 B");
    }
}
