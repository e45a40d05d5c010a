//! Waits for a container engine of a test's own.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

/// The engine once it `answers`; or the last line of its log, when it ends before or takes longer than `within`.
pub(crate) fn answers<E>(
    mut engine: E,
    process: impl Fn(&mut E) -> &mut Child,
    log: &Path,
    within: Duration,
    answers: impl Fn(&E) -> bool,
) -> Result<E, String> {
    let deadline = Instant::now() + within;
    while !answers(&engine) {
        let ended = process(&mut engine).try_wait().ok().flatten();
        if ended.is_some() || Instant::now() > deadline {
            let log = fs::read_to_string(log).unwrap_or_default();
            return Err(log.lines().last().unwrap_or("no output").to_owned());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(engine)
}
