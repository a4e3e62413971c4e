//! [`WheelMaker`]: wheels, good and bad, made in memory.

use std::io::{Cursor, Write};

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

/// Builds the bytes of a wheel. By default it is a correct pure wheel with one module.
#[derive(Clone)]
pub struct WheelMaker {
    name: String,
    version: String,
    tag: String,
    metadata: Vec<String>,
    entry_points: Option<String>,
    files: Vec<(String, Vec<u8>, u32)>,
    root_is_purelib: bool,
    record: bool,
}

impl WheelMaker {
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            tag: "py3-none-any".into(),
            metadata: Vec::new(),
            entry_points: None,
            files: vec![(
                format!("{}.py", name.replace(['-', '.'], "_").to_lowercase()),
                format!("__version__ = {version:?}\n").into_bytes(),
                0o644,
            )],
            root_is_purelib: true,
            record: true,
        }
    }

    /// The tag part of the file name and the `Tag` line of WHEEL.
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = tag.into();
        self
    }

    /// A `Requires-Dist` line.
    pub fn requires(self, requirement: &str) -> Self {
        self.header(&format!("Requires-Dist: {requirement}"))
    }

    /// Any line of METADATA's headers.
    pub fn header(mut self, line: &str) -> Self {
        self.metadata.push(line.into());
        self
    }

    /// The text of `entry_points.txt`.
    pub fn entry_points(mut self, text: &str) -> Self {
        self.entry_points = Some(text.into());
        self
    }

    /// One more file, with the name written as it is given, however bad.
    pub fn file(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.file_with_mode(path, bytes, 0o644)
    }

    pub fn file_with_mode(mut self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.push((path.into(), bytes.into(), mode));
        self
    }

    /// Leaves the default module out.
    pub fn without_module(mut self) -> Self {
        self.files.remove(0);
        self
    }

    pub fn platlib(mut self) -> Self {
        self.root_is_purelib = false;
        self
    }

    pub fn without_record(mut self) -> Self {
        self.record = false;
        self
    }

    pub fn filename(&self) -> String {
        format!("{}-{}-{}.whl", self.escaped(), self.version, self.tag)
    }

    pub fn metadata_text(&self) -> String {
        let mut text =
            format!("Metadata-Version: 2.1\nName: {}\nVersion: {}\n", self.name, self.version);
        for line in &self.metadata {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    pub fn bytes(&self) -> Vec<u8> {
        let info = format!("{}-{}.dist-info", self.escaped(), self.version);
        let mut files = self.files.clone();
        files.push((format!("{info}/METADATA"), self.metadata_text().into_bytes(), 0o644));
        let (python, rest) = self.tag.split_once('-').unwrap();
        let tags: String =
            python.split('.').map(|python| format!("Tag: {python}-{rest}\n")).collect();
        let wheel = format!(
            "Wheel-Version: 1.0\nGenerator: fixture\nRoot-Is-Purelib: {}\n{tags}",
            self.root_is_purelib
        );
        files.push((format!("{info}/WHEEL"), wheel.into_bytes(), 0o644));
        if let Some(text) = &self.entry_points {
            files.push((format!("{info}/entry_points.txt"), text.clone().into_bytes(), 0o644));
        }
        if self.record {
            let mut record = String::new();
            for (path, bytes, _) in &files {
                let digest = base64_url(&Sha256::digest(bytes));
                let path = if path.contains([',', '"']) {
                    format!("\"{}\"", path.replace('"', "\"\""))
                } else {
                    path.clone()
                };
                record.push_str(&format!("{path},sha256={digest},{}\n", bytes.len()));
            }
            record.push_str(&format!("{info}/RECORD,,\n"));
            files.push((format!("{info}/RECORD"), record.into_bytes(), 0o644));
        }
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (path, bytes, mode) in files {
            zip.start_file(path, SimpleFileOptions::default().unix_permissions(mode)).unwrap();
            zip.write_all(&bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn escaped(&self) -> String {
        self.name.replace(['-', '.'], "_")
    }
}

/// URL-safe base64 without padding, as RECORD has it.
pub fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut block = [0; 3];
        block[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, block[0], block[1], block[2]]);
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}
