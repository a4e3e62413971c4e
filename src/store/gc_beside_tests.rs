//! Collections beside commands that go on: nothing is lost at the gate, and nothing in a crowd.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::super::gate::testing::wait_at_the_gate;
use super::super::*;
use super::{made, names, put_wheel, set, tag};

#[test]
fn a_look_at_a_closed_gate_sees_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), |store| _ = store.put(b"goes").unwrap());
    let digest = Digest::of(b"goes");
    let looks: [fn(&Store, &Digest) -> bool; 3] = [
        |store, digest| store.contains(digest),
        |store, digest| store.read(digest).is_ok(),
        |store, digest| {
            // What was there is written again, because it is not counted on unseen.
            store.put(b"goes").unwrap();
            !store.path(digest).exists()
        },
    ];
    for look in looks {
        let store = Store::open(dir.path()).unwrap();
        std::fs::write(store.path(&digest), "goes").unwrap();
        let closed = Gate::close(&store.gate_path()).unwrap();
        std::thread::scope(|scope| {
            let work = scope.spawn(|| look(&store, &digest));
            wait_at_the_gate(&store.gate_path(), &work);
            std::fs::remove_file(store.path(&digest)).unwrap();
            drop(closed);
            assert!(!work.join().unwrap());
        });
    }
}

#[test]
fn nothing_gets_its_name_while_the_gate_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut blob = store.writer().unwrap();
    blob.write_all(b"new").unwrap();
    // Already held, so that there is nothing to record.
    store.hold(&Digest::of(b"new")).unwrap();
    let path = store.path(&Digest::of(b"new"));
    let closed = Gate::close(&store.gate_path()).unwrap();
    std::thread::scope(|scope| {
        let work = scope.spawn(|| blob.commit().unwrap());
        wait_at_the_gate(&store.gate_path(), &work);
        assert!(!path.exists());
        drop(closed);
        work.join().unwrap();
    });
    assert!(path.exists());
}

/// Tells the others when its thread panics, so that none waits for ever.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Writers save sets of wheels that they share, readers read what has a name, each in a store that it
/// opens for a few rounds, and names and blobs are collected all the while. Locks belong to open
/// files, so threads that open a store each are to each other what processes are.
#[test]
fn nothing_is_lost_to_commands_that_go_on() {
    const ROUNDS: u32 = 60;
    let dir = tempfile::tempdir().unwrap();
    let writers = AtomicUsize::new(3);
    let collected = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let going = || writers.load(Ordering::Relaxed) > 0 && !failed.load(Ordering::Relaxed);
    let open = || Store::open(dir.path()).unwrap();
    let write = |writer: u32| {
        for round in 0..ROUNDS {
            let store = open();
            for part in 0..3_u32 {
                let names = [format!("shared{}", round % 5), format!("own{writer}r{round}p{part}")];
                let set = set(names.iter().map(|name| put_wheel(&store, name)));
                let saved = tag(&format!("t{}", (writer + part) % 4));
                store.save_set(&saved, &set).unwrap();
                // It may be another's, or nobody's, by now; what was saved is held all the same.
                for wheel in &set.wheels {
                    store.read(&wheel.digest).unwrap();
                }
            }
        }
    };
    let read = |reader: u32| {
        let mut count = 0_u32;
        while going() {
            let store = open();
            let name = tag(&format!("t{}", (reader + count) % 4));
            match store.load_set(&name) {
                Ok(set) => {
                    for wheel in &set.wheels {
                        assert_eq!(store.size(&wheel.digest), Some(wheel.size));
                        store.read(&wheel.digest).unwrap();
                    }
                }
                Err(StoreError::NoSuchTag { .. }) => {}
                Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
            }
            count += 1;
        }
    };
    let collect = |keep_last: usize| {
        while going() {
            match open().gc(&GcRules { keep_last: Some(keep_last), ..GcRules::default() }) {
                Ok(report) => _ = collected.fetch_add(report.removed, Ordering::Relaxed),
                Err(StoreError::Busy { .. }) => std::thread::yield_now(),
                Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
            }
        }
    };
    let check = || {
        while going() {
            let report = open().verify(&|_| {}).unwrap();
            assert!(report.is_clean(), "{report:?}");
        }
    };
    std::thread::scope(|scope| {
        let (write, read, collect, writers, failed) = (&write, &read, &collect, &writers, &failed);
        for writer in 0..3 {
            scope.spawn(move || {
                let _alarm = Alarm(failed);
                write(writer);
                writers.fetch_sub(1, Ordering::Relaxed);
            });
        }
        for reader in 0..2 {
            scope.spawn(move || {
                let _alarm = Alarm(failed);
                read(reader);
            });
        }
        for keep_last in [1, 2] {
            scope.spawn(move || {
                let _alarm = Alarm(failed);
                collect(keep_last);
            });
        }
        scope.spawn(|| {
            let _alarm = Alarm(failed);
            check();
        });
    });
    assert!(collected.into_inner() > 0);
    let store = open();
    assert!(store.verify(&|_| {}).unwrap().is_clean());
    for name in names(&store) {
        assert_eq!(store.load_set(&tag(&name)).unwrap().wheels.len(), 2);
    }
}
