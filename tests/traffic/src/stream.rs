//! A stream of bytes that both ends can work out from a seed, and its SHA-256. Pure.

use sha2::{Digest, Sha256};

/// SplitMix64 (Steele, Lea and Flood, 2014): a pseudo-random stream, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Stream {
    state: u64,
    left: u64,
}

impl Stream {
    /// The first `bytes` bytes of the stream of `seed`.
    #[must_use]
    pub fn new(seed: u64, bytes: u64) -> Self {
        Self { state: seed, left: bytes }
    }

    /// Fills the next bytes in and says how many; 0 at the end. Only the last piece of a stream may
    /// be shorter than the buffer, and the buffer's length must be a multiple of 8.
    pub fn fill(&mut self, buffer: &mut [u8]) -> usize {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        for chunk in buffer[..length].chunks_mut(8) {
            chunk.copy_from_slice(&self.next_word().to_le_bytes()[..chunk.len()]);
        }
        self.left -= length as u64;
        length
    }

    fn next_word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The SHA-256 of what is left of the stream, in hexadecimal.
    #[must_use]
    pub fn sha256(self) -> String {
        let mut hash = Sha256::new();
        self.hash(&mut hash);
        hexadecimal(hash)
    }

    /// Feeds what is left of the stream to a hash.
    pub fn hash(mut self, hash: &mut Sha256) {
        let mut buffer = [0; 8192];
        loop {
            match self.fill(&mut buffer) {
                0 => return,
                length => hash.update(&buffer[..length]),
            }
        }
    }
}

/// The end of a hash, in hexadecimal.
#[must_use]
pub fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        let mut buffer = [0; 16];
        assert_eq!(Stream::new(1_234_567, 16).fill(&mut buffer), 16);
        // The published first outputs of seed 1234567.
        let want = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973];
        assert_eq!(
            buffer.as_chunks().0.iter().map(|w| u64::from_le_bytes(*w)).collect::<Vec<_>>(),
            want
        );
    }

    #[test]
    fn it_ends_where_it_should_however_it_is_cut() {
        let whole = Stream::new(7, 1003).sha256();
        let (mut stream, mut buffer) = (Stream::new(7, 1003), [0; 24]);
        let (mut hash, mut total) = (Sha256::new(), 0);
        loop {
            match stream.fill(&mut buffer) {
                0 => break,
                length => {
                    hash.update(&buffer[..length]);
                    total += length;
                }
            }
        }
        assert_eq!((total, hexadecimal(hash)), (1003, whole));
        assert_ne!(Stream::new(8, 1003).sha256(), Stream::new(7, 1003).sha256());
    }
}
