//! Results go to standard output, and only from here.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::exit::CliError;
use crate::pipeline::error::chain;
use crate::service::root::first::FirstProcess;

/// Writes `text` to standard output. A reader that went away (`loci ... | head`) is a quiet success.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|source| CliError::Output { to: "standard output".into(), source }),
    }
}

/// Is the first process of a private root, whose output loci reads, and says how it ended.
pub(super) fn of_first_process(process: &FirstProcess) -> ExitCode {
    let code = process.run(&mut io::stdout()).unwrap_or_else(|error| {
        // One line: its last one is what is told.
        let _ = writeln!(io::stdout(), "{}", chain(&error).join(": "));
        1
    });
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Writes `value` as JSON, with a line end, to standard output.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::Output { to: "standard output".into(), source: error.into() })?;
    text.push('\n');
    print(&text)
}

/// Writes `text` to the file `path`, whole or not at all; `-` is standard output.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CliError> {
    if path == Path::new("-") {
        return print(text);
    }
    let fail = |source| CliError::Output { to: format!("`{}`", path.display()), source };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".loci-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        // The error names the file that would have been, which is of interest to nobody.
        .map_err(|error| fail(error.kind().into()))?;
    file.write_all(text.as_bytes()).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}
