//! [`Fault`]: what goes wrong with a request, planned for an address or drawn by [`Chaos`]. Carrying
//! it out is the server's part.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::http::{self, Request};

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, with a Retry-After when one is given.
    Status { status: u16, retry_after: Option<String> },
    /// The connection ends before anything is done.
    Drop,
    /// The connection ends after so many bytes of the request's body, which an upload keeps.
    Cut { after: usize },
    /// What was asked is done, and the connection ends without an answer.
    Mute,
    /// The answer's body ends after so many bytes, and so does the connection. Beyond the body's
    /// end, it is counted from its beginning again.
    Truncate { after: usize },
    /// The byte there of the answer's body is another one, counted likewise.
    Flip { at: usize },
    /// A range is answered with the whole.
    Whole,
}

/// Random trouble: the percentages of requests that meet each kind of it. It depends only on the
/// seed and on how often an address was asked for, and not on what else is asked meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Chaos {
    pub seed: u64,
    /// [`Fault::Drop`], [`Fault::Cut`] in the middle of a body, and [`Fault::Mute`], in turn.
    pub resets: u8,
    /// Status 429.
    pub too_many: u8,
    /// Status 503.
    pub unavailable: u8,
    /// Of GET requests.
    pub truncated: u8,
    /// Of GET requests for blobs.
    pub flipped: u8,
    /// Of requests for ranges.
    pub whole: u8,
    /// Told with 429 and 503.
    pub retry_after: Option<String>,
    /// The same request meets trouble no more often in succession; 0 is as often as it comes.
    pub in_a_row: u32,
}

impl Chaos {
    /// Every kind of trouble at 10 %, and at most two times in a row; nobody is told to wait.
    pub fn rough(seed: u64) -> Self {
        Self {
            seed,
            resets: 10,
            too_many: 10,
            unavailable: 10,
            truncated: 10,
            flipped: 10,
            whole: 10,
            retry_after: Some("0".into()),
            in_a_row: 2,
        }
    }

    /// What a request meets when it is made for the `nth` time.
    fn draw(&self, request: &Request, key: &str, nth: u32) -> Option<Fault> {
        let noise = Sha256::digest(format!("{} {nth} {key}", self.seed));
        let number = |at: usize| usize::from(u16::from_le_bytes([noise[at], noise[at + 1]]));
        let (roll, kind, spot) = (number(0) % 100, noise[2], number(3));
        let get = request.method == "GET";
        let blob = request.path.contains("/blobs/sha256:") || request.path.starts_with("/storage/");
        let length = http::declared_length(request);
        let sends = length.is_some_and(|length| length > 0)
            || request.headers.contains_key("transfer-encoding");
        let reset = match kind % 3 {
            // Where the length is not told, the middle is anywhere.
            0 if sends => Fault::Cut { after: length.map_or(spot, |length| length / 2) },
            1 => Fault::Mute,
            _ => Fault::Drop,
        };
        let status = |status| Fault::Status { status, retry_after: self.retry_after.clone() };
        let kinds = [
            (self.resets, true, reset),
            (self.too_many, true, status(429)),
            (self.unavailable, true, status(503)),
            (self.truncated, get, Fault::Truncate { after: spot }),
            (self.flipped, get && blob, Fault::Flip { at: spot }),
            (self.whole, request.headers.contains_key("range"), Fault::Whole),
        ];
        let mut below = 0;
        for (percent, applies, fault) in kinds {
            below += usize::from(percent);
            if roll < below {
                return applies.then_some(fault);
            }
        }
        None
    }
}

/// All the trouble there is for a server's requests.
#[derive(Default)]
pub struct Faults {
    planned: Vec<Planned>,
    pub chaos: Option<Chaos>,
    /// How often each request was made, and how often it met chaos in succession.
    seen: BTreeMap<String, (u32, u32)>,
}

struct Planned {
    pattern: String,
    left: usize,
    fault: Fault,
}

impl Faults {
    /// Plans a fault for the next `times` requests that [are](Request::is) `pattern`.
    pub fn plan(&mut self, pattern: &str, times: usize, fault: Fault) {
        self.planned.push(Planned { pattern: pattern.into(), left: times, fault });
    }

    /// What goes wrong with a request that has just come.
    pub fn next(&mut self, request: &Request) -> Option<Fault> {
        let mut planned = self.planned.iter_mut();
        let due = planned.find(|planned| planned.left > 0 && request.is(&planned.pattern));
        if let Some(planned) = due {
            planned.left -= 1;
            return Some(planned.fault.clone());
        }
        let chaos = self.chaos.as_ref()?;
        let key = format!("{} {}", request.method, request.place());
        let (nth, row) = self.seen.entry(key.clone()).or_default();
        *nth += 1;
        let spared = chaos.in_a_row > 0 && *row >= chaos.in_a_row;
        let fault = if spared { None } else { chaos.draw(request, &key, *nth) };
        *row = if fault.is_some() { *row + 1 } else { 0 };
        fault
    }
}
