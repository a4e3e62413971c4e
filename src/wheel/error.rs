//! [`WheelError`]: why a wheel cannot be used, always naming the wheel and the entry at fault.

use std::io;

use crate::vocab::core_metadata::CoreMetadataError;
use crate::vocab::safe_path::SafePathError;
use crate::vocab::wheel_filename::WheelFilename;

/// A wheel that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the wheel `{wheel}` cannot be used")]
pub struct WheelError {
    /// The wheel's file name.
    pub wheel: String,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

impl Fault {
    /// The error of the wheel that has this fault.
    #[must_use]
    pub(crate) fn of(self, wheel: &WheelFilename) -> WheelError {
        WheelError { wheel: wheel.as_str().into(), fault: self }
    }
}

/// What is wrong with a wheel, with what reading it or with where it goes.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file cannot be read.
    #[error("its bytes cannot be read")]
    Read {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The zip directory cannot be read.
    #[error("it is not a whole zip archive")]
    Zip {
        /// What the zip reader said.
        #[source]
        source: zip::result::ZipError,
    },
    /// Bytes stand before, between or behind the archive's parts, where readers disagree about them.
    #[error("it has bytes that belong to no entry of the zip archive")]
    Surplus,
    /// Two entries have one name.
    #[error("the entry `{name}` stands in it twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A file is where another entry needs a directory.
    #[error("the entry `{name}` is a file, and `{below}` lies below it")]
    FileAsDirectory {
        /// The file.
        name: String,
        /// The entry below it.
        below: String,
    },
    /// An entry's name could leave the place it is unpacked to.
    #[error("an entry's name is not safe")]
    Path {
        /// The name and its fault.
        #[source]
        source: SafePathError,
    },
    /// An entry's name is not UTF-8.
    #[error("the name of the entry `{name}` is not UTF-8")]
    NameEncoding {
        /// The name, escaped.
        name: String,
    },
    /// An entry's name has control characters, which RECORD and terminals would take for their own.
    #[error("the name of the entry `{name}` has control characters")]
    NameControl {
        /// The name, escaped.
        name: String,
    },
    /// An entry is a symbolic link or another special file.
    #[error("the entry `{name}` is {kind}, which a wheel must not have")]
    Special {
        /// The entry.
        name: String,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// An entry is compressed in a way wheels do not use.
    #[error("the entry `{name}` is compressed by `{method}`")]
    Compression {
        /// The entry.
        name: String,
        /// The method.
        method: String,
    },
    /// The archive's directory and an entry's own header disagree.
    #[error("the entry `{name}` contradicts the archive's directory: {what}")]
    Header {
        /// The entry.
        name: String,
        /// What is contradicted.
        what: &'static str,
    },
    /// An entry's bytes overlap with another's or with the directory.
    #[error("the bytes of the entry `{name}` overlap with what follows them")]
    Overlap {
        /// The entry.
        name: String,
    },
    /// An entry claims a size its compressed bytes cannot have, or one past the limit.
    #[error("the entry `{name}` claims {size} bytes, more than its {compressed} bytes can hold")]
    Bomb {
        /// The entry.
        name: String,
        /// The claimed size in bytes.
        size: u64,
        /// The compressed size in bytes.
        compressed: u64,
    },
    /// An entry is larger than loci takes into memory.
    #[error("the entry `{name}` has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The entry.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An entry does not inflate to what the directory says.
    #[error("the entry `{name}` does not unpack to the {size} bytes it claims")]
    Inflate {
        /// The entry.
        name: String,
        /// The claimed size in bytes.
        size: u64,
    },
    /// An entry's CRC-32 is wrong.
    #[error("the entry `{name}` is damaged: its CRC-32 does not match")]
    Crc {
        /// The entry.
        name: String,
    },
    /// There is no `.dist-info` directory.
    #[error("it has no `.dist-info` directory")]
    NoDistInfo,
    /// There are several `.dist-info` directories.
    #[error("it has more than one `.dist-info` directory: `{first}` and `{second}`")]
    DistInfos {
        /// One.
        first: String,
        /// Another.
        second: String,
    },
    /// The `.dist-info` directory is another project's or another version's.
    #[error("its `{dist_info}` does not match its file name")]
    DistInfoName {
        /// The directory.
        dist_info: String,
    },
    /// A file every wheel has is missing.
    #[error("it has no `{name}`")]
    Missing {
        /// The file.
        name: String,
    },
    /// METADATA cannot be used.
    #[error("its METADATA cannot be used")]
    Metadata {
        /// The field at fault.
        #[source]
        source: CoreMetadataError,
    },
    /// WHEEL cannot be used.
    #[error("its WHEEL file cannot be used: {reason}")]
    Info {
        /// What is wrong with it.
        reason: String,
    },
    /// `entry_points.txt` cannot be used.
    #[error("the entry point `{entry}` cannot become a script: {reason}")]
    EntryPoint {
        /// The line.
        entry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// RECORD cannot be read.
    #[error("its RECORD cannot be read: {reason}")]
    Record {
        /// What is wrong with it.
        reason: String,
    },
    /// RECORD gives an entry another hash than it has.
    #[error("the entry `{name}` has the hash `{found}`, and RECORD says `{recorded}`")]
    RecordHash {
        /// The entry.
        name: String,
        /// As RECORD has it.
        recorded: String,
        /// As the content gives.
        found: String,
    },
    /// An entry in `.data` that no scheme key takes.
    #[error("the entry `{name}` is not below `scripts`, `data`, `headers`, `purelib` or `platlib`")]
    Data {
        /// The entry.
        name: String,
    },
    /// Installing would overwrite a part of the environment.
    #[error("the entry `{name}` would overwrite `{path}`, which belongs to the environment")]
    Reserved {
        /// The entry.
        name: String,
        /// Where it would go, relative to the prefix.
        path: String,
    },
    /// Two entries would be installed at one path.
    #[error("the entries `{first}` and `{second}` would both be installed at `{path}`")]
    Collision {
        /// Where both would go, relative to the prefix.
        path: String,
        /// One entry.
        first: String,
        /// The other.
        second: String,
    },
    /// What is installed cannot be written.
    #[error("`{path}` cannot be written")]
    Write {
        /// Where it goes, relative to the prefix or in the new archive.
        path: String,
        /// What the sink said.
        #[source]
        source: io::Error,
    },
}
