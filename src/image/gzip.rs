//! [`StoredGzip`]: gzip around bytes that gain nothing by compression.
//!
//! Wheels are compressed already, and what a compressor makes of them changes with its version. Blocks
//! that are only stored (RFC 1951, 3.2.4) are the same bytes for ever, cost a checksum, and every
//! reader of gzip (RFC 1952) takes them.

use std::io::{self, Write};

use crc32fast::Hasher;

/// The most bytes a stored block can hold.
const BLOCK: usize = 65_535;
/// No name, no time, no system (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Writes what it is given as gzip.
pub(super) struct StoredGzip<W> {
    out: W,
    begun: bool,
    block: Vec<u8>,
    checksum: Hasher,
    length: u64,
}

impl<W: Write> StoredGzip<W> {
    /// Wraps what is written into `out`.
    pub(super) fn new(out: W) -> Self {
        let block = Vec::with_capacity(BLOCK);
        Self { out, begun: false, block, checksum: Hasher::new(), length: 0 }
    }

    /// Writes what is left and the trailer.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.put_block(1)?;
        self.out.write_all(&self.checksum.clone().finalize().to_le_bytes())?;
        // The length is told modulo 2 to the 32nd.
        self.out.write_all(&(self.length as u32).to_le_bytes())
    }

    fn put_block(&mut self, last: u8) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            self.out.write_all(&HEADER)?;
        }
        let length = u16::try_from(self.block.len()).expect("a block is no longer than it may be");
        let [low, high] = length.to_le_bytes();
        self.out.write_all(&[last, low, high, !low, !high])?;
        self.out.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

impl<W: Write> Write for StoredGzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        self.checksum.update(&bytes[..count]);
        self.length += count as u64;
        if self.block.len() == BLOCK {
            self.put_block(0)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_reader_gives_it_back(bytes in proptest::collection::vec(any::<u8>(), 0..200_000)) {
            let mut packed = Vec::new();
            let mut gzip = StoredGzip::new(&mut packed);
            gzip.write_all(&bytes).unwrap();
            gzip.finish().unwrap();
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
            prop_assert!(back == bytes);
        }
    }
}
