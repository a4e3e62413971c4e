//! [`BaseMaker`]: the image of a tiny Debian, made in code: busybox, a Python that only says what it is, and an
//! apt that notes what it is asked for.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tar::{Builder, EntryType, Header};

/// What a root needs of busybox.
const APPLETS: [&str; 14] = [
    "sh", "cat", "env", "ls", "mkdir", "grep", "sleep", "rm", "touch", "sed", "id", "cp", "true",
    "false",
];

/// Makes a base image.
pub struct BaseMaker {
    busybox: PathBuf,
    architecture: String,
    variables: Vec<String>,
    files: Vec<(String, u32, Vec<u8>)>,
}

impl BaseMaker {
    /// A base whose Python is one like the host's; none, with the reason said, where there is no busybox that
    /// runs by itself.
    pub fn new() -> Option<Self> {
        let busybox =
            ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(Path::new).find(|path| {
                let linked = Command::new("ldd").arg(path).output();
                path.is_file() && linked.is_ok_and(|output| !output.status.success())
            });
        let Some(busybox) = busybox else {
            println!("skipped: there is no statically linked busybox here");
            return None;
        };
        let mut asked = Command::new("python3");
        asked.args(["-IBc", include_str!("../../src/build/probe.py")]);
        let said = String::from_utf8(asked.output().unwrap().stdout).unwrap();
        let mut answer: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
        answer["executable"] = json!("/usr/bin/python3");
        let python = format!("#!/bin/sh\ncat <<'ANSWER'\n{answer}\nANSWER\n");
        let base = Self {
            busybox: busybox.to_owned(),
            architecture: "amd64".into(),
            variables: vec!["PATH=/usr/bin:/bin".into()],
            files: Vec::new(),
        };
        Some(
            base.file(
                "etc/os-release",
                0o644,
                "ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n",
            )
            .file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n")
            .file("etc/group", 0o644, "root:x:0:\n")
            .file("etc/shadow", 0o640, "root:*:19000:0:99999:7:::\n")
            .file("usr/bin/python3", 0o755, python)
            .file("var/lib/dpkg/there", 0o644, "installed\tbase-files\t12.4\n")
            .file("usr/bin/dpkg-query", 0o755, "#!/bin/sh\ncat /var/lib/dpkg/there\n")
            .file("usr/bin/apt-get", 0o755, APT),
        )
    }

    /// One file more, or another one in its place.
    pub fn file(mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.retain(|(other, ..)| other != path);
        self.files.push((path.to_owned(), mode, bytes.into()));
        self
    }

    /// What a file has in it.
    pub fn read(&self, path: &str) -> Vec<u8> {
        self.files.iter().find(|(own, ..)| own == path).expect("a file of the base").2.clone()
    }

    /// For another processor.
    pub fn architecture(self, architecture: &str) -> Self {
        Self { architecture: architecture.into(), ..self }
    }

    /// With one variable more.
    pub fn variable(mut self, variable: &str) -> Self {
        self.variables.push(variable.into());
        self
    }

    /// Its one layer.
    pub fn layer(&self) -> Vec<u8> {
        let mut layer = Builder::new(Vec::new());
        let mut folders = Vec::new();
        for (name, ..) in &self.files {
            folders.extend(Path::new(name).ancestors().skip(1).map(Path::to_owned));
        }
        folders.extend(
            ["bin", "tmp", "root", "proc", "dev", "run", "usr/sbin", "var/log", "var/cache"]
                .map(PathBuf::from),
        );
        folders.sort();
        folders.dedup();
        for folder in folders.iter().filter(|folder| !folder.as_os_str().is_empty()) {
            let mut header = header(EntryType::Directory, 0o755, 0);
            layer.append_data(&mut header, folder, &b""[..]).unwrap();
        }
        let busybox = std::fs::read(&self.busybox).unwrap();
        layer
            .append_data(
                &mut header(EntryType::Regular, 0o755, busybox.len()),
                "bin/busybox",
                &busybox[..],
            )
            .unwrap();
        for applet in APPLETS {
            let name = format!("bin/{applet}");
            layer.append_link(&mut header(EntryType::Symlink, 0o777, 0), name, "busybox").unwrap();
        }
        for (name, mode, bytes) in &self.files {
            layer
                .append_data(&mut header(EntryType::Regular, *mode, bytes.len()), name, &bytes[..])
                .unwrap();
        }
        layer.into_inner().unwrap()
    }

    /// Writes it to `path`, as `docker save` does.
    pub fn write(&self, path: &Path) {
        let layer = self.layer();
        let digest = loci::vocab::digest::Digest::of(&layer);
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": { "Env": self.variables },
            "rootfs": { "type": "layers", "diff_ids": [digest.to_string()] },
            "history": [{ "created_by": "a test" }],
        });
        let manifest = json!([{ "Config": "config.json", "RepoTags": ["base:test"], "Layers": ["layer.tar"] }]);
        let mut image = Builder::new(std::fs::File::create(path).unwrap());
        for (name, bytes) in [
            ("manifest.json", manifest.to_string().into_bytes()),
            ("config.json", config.to_string().into_bytes()),
            ("layer.tar", layer),
        ] {
            image
                .append_data(&mut header(EntryType::Regular, 0o644, bytes.len()), name, &bytes[..])
                .unwrap();
        }
        image.finish().unwrap();
    }
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Notes what it is to install as installed, and takes programs out of `/opt`, or from the path that it is given.
/// `broken` does not exist, and `slow` is never done; `with-user` and `git` bring a user and a group, and git another
/// package.
pub const APT: &str = r#"#!/bin/sh
case " $* " in
*" update "*) exit 0 ;;
*" purge "*) verb=purge ;;
*) verb=install ;;
esac
note() { echo "installed	$1	1.0" >>/var/lib/dpkg/there; }
names=no
for word in "$@"; do
    if [ $names = yes ] && [ $verb = purge ]; then
        sed -i "/	$word	/d" /var/lib/dpkg/there
        rm -f "/usr/bin/$word"
    elif [ $names = yes ]; then
        name=${word##*/} file=/opt/$word
        case $word in
        broken) echo "E: Unable to locate package broken" >&2; exit 100 ;;
        slow) sleep 600 ;;
        git) note git-man; echo "git-shell:x:901:" >>/etc/group ;;
        */with-user.deb) echo "tester:x:900:900::/:/bin/false" >>/etc/passwd ;;
        esac
        case $word in
        */*) name=${name%.deb} file=$word; [ -r "$word" ] || exit 100 ;;
        esac
        note "$name"
        if [ -e "$file" ]; then cp "$file" "/usr/bin/$name"; else touch "/usr/bin/$name"; fi
    fi
    [ "$word" != -- ] || names=yes
done
"#;
