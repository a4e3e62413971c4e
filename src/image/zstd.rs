//! [`ZstdFrames`]: what zstd packed, over all of its frames (RFC 8878, 3.1).
//!
//! Tools that pack in parallel, or so that parts can be found again, write many frames and put frames
//! between them that hold nothing of the content.

use std::io::{self, Cursor, Read};

use ruzstd::decoding::StreamingDecoder;

/// The first bytes of a frame to be skipped are `5X 2A 4D 18`.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Reads the content of every frame, one after the other.
pub(super) struct ZstdFrames<R: Read> {
    state: State<R>,
}

/// The reader, after the first bytes of a frame that were looked at.
type Rest<R> = io::Chain<Cursor<Vec<u8>>, R>;

enum State<R: Read> {
    /// Before a frame, or at the end.
    Between(R),
    /// Within one.
    Within(Box<StreamingDecoder<Rest<R>, ruzstd::decoding::FrameDecoder>>),
    /// Something went wrong, or all was read.
    Over,
}

impl<R: Read> ZstdFrames<R> {
    /// Reads what `packed` holds.
    pub(super) const fn new(packed: R) -> Self {
        Self { state: State::Between(packed) }
    }

    /// Goes into the next frame that holds something; to the end where there is none.
    fn enter(mut packed: R) -> io::Result<State<R>> {
        loop {
            let mut magic = Vec::new();
            packed.by_ref().take(4).read_to_end(&mut magic)?;
            match magic[..] {
                [] => return Ok(State::Over),
                [first, second, third, fourth]
                    if first & 0xf0 == 0x50 && [second, third, fourth] == SKIPPABLE =>
                {
                    let mut length = [0; 4];
                    packed.read_exact(&mut length)?;
                    let length = u64::from(u32::from_le_bytes(length));
                    let skipped = io::copy(&mut packed.by_ref().take(length), &mut io::sink())?;
                    if skipped < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                _ => {
                    let rest = Cursor::new(magic).chain(packed);
                    let decoder = StreamingDecoder::new(rest).map_err(|error| {
                        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
                    })?;
                    return Ok(State::Within(Box::new(decoder)));
                }
            }
        }
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Ok(0),
                State::Between(packed) => self.state = Self::enter(packed)?,
                State::Within(mut decoder) => {
                    let count = decoder.read(buffer)?;
                    if count > 0 {
                        self.state = State::Within(decoder);
                        return Ok(count);
                    }
                    let (_, packed) = decoder.into_inner().into_inner();
                    self.state = State::Between(packed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of one raw block (RFC 8878, 3.1.1), which says its size in one byte.
    fn frame(content: &[u8]) -> Vec<u8> {
        let size = u8::try_from(content.len()).unwrap();
        let block = (u32::from(size) << 3 | 1).to_le_bytes();
        [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, size], &block[..3], content].concat()
    }

    fn skipped(content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        [&[0x5a, 0x2a, 0x4d, 0x18], &size[..], content].concat()
    }

    #[test]
    fn every_frame_is_read() {
        let packed =
            [skipped(b"x"), frame(b"one "), skipped(b"more"), frame(b"two"), skipped(b"")].concat();
        let mut text = String::new();
        ZstdFrames::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
        for cut in [3, 6, packed.len() - 3] {
            let mut bytes = Vec::new();
            assert!(ZstdFrames::new(&packed[..cut]).read_to_end(&mut bytes).is_err(), "{cut}");
        }
    }
}
