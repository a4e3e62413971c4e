//! [`SdistMaker`]: source distributions made in memory, with a build backend of their own so that
//! they build without any package from outside.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Builds the bytes of a `.tar.gz` source distribution.
#[derive(Clone)]
pub struct SdistMaker {
    name: String,
    version: String,
    files: Vec<(String, Vec<u8>)>,
    requires: Vec<String>,
    metadata: Vec<String>,
}

/// A PEP 517 backend in one file: it makes a pure wheel of one module, reading the name, version and
/// further METADATA lines from `PKG-INFO`.
const BACKEND: &str = r#"
import hashlib, base64, os, zipfile

def _info():
    with open("PKG-INFO") as f:
        text = f.read()
    fields = dict(l.split(": ", 1) for l in text.splitlines() if ": " in l)
    return fields["Name"], fields["Version"], text

def get_requires_for_build_wheel(config_settings=None):
    return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name, version, metadata = _info()
    name = name.replace("-", "_").replace(".", "_")
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name.lower()}.py": f"__version__ = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: fixture\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    filename = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, filename), "w", zipfile.ZIP_DEFLATED) as z:
        for path, text in files.items():
            z.writestr(path, text)
    return filename
"#;

impl SdistMaker {
    /// A source distribution that builds with its own in-tree backend and no requirements.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            files: vec![("backend.py".into(), BACKEND.into())],
            requires: Vec::new(),
            metadata: Vec::new(),
        }
    }

    /// One more file below the top folder; a file named like an earlier one replaces it.
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.retain(|(existing, _)| existing != path);
        self.files.push((path.into(), bytes.into()));
        self
    }

    /// More lines for the backend, which may replace its functions: `build_wheel` and so on.
    pub fn backend(self, lines: &str) -> Self {
        let path = "backend.py";
        let (_, text) = self.files.iter().find(|(existing, _)| existing == path).unwrap();
        let text = [text.as_slice(), b"\n", lines.as_bytes(), b"\n"].concat();
        self.file(path, text)
    }

    /// An entry of `build-system.requires`.
    pub fn build_requires(mut self, requirement: &str) -> Self {
        self.requires.push(requirement.into());
        self
    }

    /// A line of PKG-INFO, which the backend copies to METADATA.
    pub fn header(mut self, line: &str) -> Self {
        self.metadata.push(line.into());
        self
    }

    pub fn filename(&self) -> String {
        format!("{}-{}.tar.gz", self.name, self.version)
    }

    pub fn pkg_info(&self) -> String {
        let mut text =
            format!("Metadata-Version: 2.1\nName: {}\nVersion: {}\n", self.name, self.version);
        for line in &self.metadata {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The files of the tree, relative to the top folder.
    pub fn tree(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = self.files.clone();
        let mut add = |path: &str, text: String| {
            if !files.iter().any(|(existing, _)| existing == path) {
                files.push((path.into(), text.into_bytes()));
            }
        };
        add("PKG-INFO", self.pkg_info());
        add(
            "pyproject.toml",
            format!(
                "[build-system]\nrequires = {:?}\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
                self.requires
            ),
        );
        files
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in self.tree() {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            let path = format!("{}-{}/{path}", self.name, self.version);
            tar.append_data(&mut header, path, bytes.as_slice()).unwrap();
        }
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&tar.into_inner().unwrap()).unwrap();
        gz.finish().unwrap()
    }
}
