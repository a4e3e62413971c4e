//! The sockets of a registry: connections, requests in order on each, the faults carried out, and
//! the log of all of it.

use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::super::valve::Valve;
use super::faults::Fault;
use super::http::{self, Answer};
use super::routes::{State, error};

/// What all connections share.
#[derive(Default)]
pub struct Shared {
    pub state: Mutex<State>,
    pub valve: Valve,
    /// Which requests the valve holds.
    pub held: Mutex<String>,
    pub stop: AtomicBool,
}

/// Listens on the loopback for one origin.
pub fn listen(shared: &Arc<Shared>, elsewhere: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            let (Ok(stream), shared) = (stream, Arc::clone(&shared)) else { continue };
            std::thread::spawn(move || {
                let _ = converse(stream, &shared, elsewhere);
            });
        }
    });
    address
}

fn converse(mut stream: TcpStream, shared: &Shared, elsewhere: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(mut request) = http::read_head(&mut reader)? {
        request.elsewhere = elsewhere;
        let held = request.is(&shared.held.lock().unwrap());
        if held && !shared.valve.admits() {
            break;
        }
        let fault = shared.state.lock().unwrap().faults.next(&request);
        let limit = match &fault {
            Some(Fault::Drop) => 0,
            Some(Fault::Cut { after }) => *after,
            _ => usize::MAX,
        };
        let mut body = http::read_body(&mut reader, &request, limit);
        // A body that ends before the limit is cut none the less.
        body.whole &= limit == usize::MAX;
        request.received = body.bytes.len() as u64;

        let mut state = shared.state.lock().unwrap();
        let answer = match fault {
            Some(Fault::Drop) => None,
            Some(Fault::Status { status, retry_after }) => {
                let answer = error(status, "FAULT", "a fault");
                Some(match retry_after {
                    Some(after) => answer.header("retry-after", after),
                    None => answer,
                })
            }
            Some(Fault::Whole) => {
                let mut rangeless = request.clone();
                rangeless.headers.remove("range");
                state.answer(&rangeless, &body)
            }
            fault => {
                let answer = state.answer(&request, &body);
                answer.and_then(|answer| spoiled(answer, fault.as_ref()))
            }
        };
        // It is noted before the client can know of it, so that a test never looks too early.
        request.status = answer.as_ref().map(|answer| answer.status);
        request.sent = answer.as_ref().map_or(0, |a| a.outgoing(&request.method).len() as u64);
        let method = request.method.clone();
        state.requests.push(request);
        drop(state);
        let Some(answer) = answer else { break };
        answer.write(&mut stream, &method)?;
        if answer.cut.is_some() {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}

/// An answer with its fault; None when it is not to go out.
fn spoiled(mut answer: Answer, fault: Option<&Fault>) -> Option<Answer> {
    let length = answer.body.len();
    match fault {
        Some(Fault::Cut { .. } | Fault::Mute) => return None,
        Some(Fault::Truncate { after }) if length > 0 => answer.cut = Some(after % length),
        Some(Fault::Flip { at }) if length > 0 => answer.body[at % length] ^= 1,
        _ => {}
    }
    Some(answer)
}
