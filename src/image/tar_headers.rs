//! [`BoundedHeaders`]: a tar that goes by, in which no header asks for more memory than a header may.
//!
//! A name or a record too long for a tar's block stands in an entry of its own before the one it is
//! for (GNU's `L` and `K`, POSIX's `x` and `g`), and readers take it into memory whole: in a few compressed
//! bytes, it may be gigabytes. This one follows the blocks as they go by and refuses such an entry. What it
//! can't follow it lets by: whether a tar is one is for its reader to say.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// No path and no set of records is longer, in bytes.
const MOST: u64 = 1 << 20;

/// Passes a tar on.
pub(crate) struct BoundedHeaders<R> {
    tar: R,
    /// The block that is being read.
    block: Vec<u8>,
    /// Bytes until the next header.
    skip: u64,
    /// Whether blocks are still followed.
    follows: bool,
}

impl<R: Read> BoundedHeaders<R> {
    /// Passes `tar` on.
    pub(crate) fn new(tar: R) -> Self {
        Self { tar, block: Vec::with_capacity(BLOCK), skip: 0, follows: true }
    }

    /// Follows the bytes that go by.
    fn follow(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.follows && !bytes.is_empty() {
            if self.skip > 0 {
                let passed = usize::try_from(self.skip).map_or(bytes.len(), |s| s.min(bytes.len()));
                self.skip -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            let (part, rest) = bytes.split_at((BLOCK - self.block.len()).min(bytes.len()));
            self.block.extend_from_slice(part);
            bytes = rest;
            if self.block.len() == BLOCK {
                let block = std::mem::take(&mut self.block);
                self.header(&block)?;
            }
        }
        Ok(())
    }

    fn header(&mut self, block: &[u8]) -> io::Result<()> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        let (Ok(size), Ok(told)) = (header.entry_size(), header.cksum()) else {
            self.follows = false;
            return Ok(());
        };
        // The checksum is taken with blanks in its own place.
        let sum: u32 = block[..148].iter().chain(&block[156..]).map(|b| u32::from(*b)).sum();
        if sum + 8 * u32::from(b' ') != told {
            self.follows = false;
            return Ok(());
        }
        match block[156] {
            b'L' | b'K' | b'x' | b'g' if size > MOST => {
                let fault = format!("a header of {size} bytes, where {MOST} should be enough");
                return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
            }
            // Blocks of their own follow the header of a sparse file, and a record may have another size
            // than the header: from there on the places of headers are not known here.
            b'S' => self.follows = false,
            _ => {}
        }
        self.skip = size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX);
        Ok(())
    }
}

impl<R: Read> Read for BoundedHeaders<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.tar.read(buffer)?;
        self.follow(&buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u8, size: u64, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_path("x").unwrap();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    fn read(tar: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let mut bounded = BoundedHeaders::new(tar);
        let (mut out, mut buffer) = (Vec::new(), vec![0; piece]);
        loop {
            match bounded.read(&mut buffer)? {
                0 => return Ok(out),
                count => out.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn only_a_header_that_is_too_large_is_refused() {
        let content = vec![7; 3000];
        let fine = [
            entry(b'0', 3000, &content),
            entry(b'L', 600, &content[..600]),
            entry(b'x', 700, &content[..700]),
            entry(b'0', 0, b""),
            vec![0; 1024],
        ]
        .concat();
        for piece in [1, 100, 512, 5000] {
            assert!(read(&fine, piece).unwrap() == fine, "{piece}");
            for kind in [b'L', b'K', b'x', b'g'] {
                let bomb = [&fine[..], &entry(kind, MOST + 1, &content)].concat();
                let error = read(&bomb, piece).unwrap_err().to_string();
                assert_eq!(error, "a header of 1048577 bytes, where 1048576 should be enough");
            }
        }
        // A large file is none, and what is no tar goes by.
        let large = entry(b'0', 1 << 40, &content);
        assert!(read(&large, 100).unwrap() == large);
        assert!(read(&content, 100).unwrap() == content);
    }
}
