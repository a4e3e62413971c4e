//! [`DockerConfig`]: the logins people already have, in the files of Docker (`config.json`) and of
//! podman and skopeo (containers-auth.json(5)), and the helper programs that those files name.
//!
//! Nothing here reads the environment or writes a file: `docker login` and `podman login` do.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::helper::{PATIENCE, ask};
use super::login::{LoginError, RegistryLogin};
use super::login_file::{LoginFile, account, server};
use super::name::ImageName;

/// Where logins may be: what the variables of these names say. An empty path says nothing.
#[derive(Debug, Clone, Default)]
pub struct LoginPlaces {
    /// `REGISTRY_AUTH_FILE`: a file that is read instead of all others, as podman and skopeo do.
    pub registry_auth_file: Option<PathBuf>,
    /// `DOCKER_CONFIG`: the directory of a `config.json`.
    pub docker_config: Option<PathBuf>,
    /// `HOME`: Docker's directory is in it when nothing else is said.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: podman's file is in it, and is read after Docker's.
    pub runtime_dir: Option<PathBuf>,
    /// `PATH`: where helper programs are looked for; this process's own when there is none.
    pub path: Option<OsString>,
}

/// The logins of one or more files; an earlier file's come before a later one's.
#[derive(Debug, Clone, Default)]
pub struct DockerConfig {
    files: Vec<LoginFile>,
    path: Option<OsString>,
}

impl DockerConfig {
    /// Reads the files that there are. One that cannot be read is passed over when nobody named it: it
    /// may be another user's, where `HOME` was kept.
    ///
    /// # Errors
    /// [`LoginError::Read`] when a named file cannot be read, or `REGISTRY_AUTH_FILE` is not there;
    /// [`LoginError::Malformed`].
    pub fn read(places: &LoginPlaces) -> Result<Self, LoginError> {
        let mut config = Self { files: Vec::new(), path: places.path.clone() };
        if let Some(path) = given(&places.registry_auth_file) {
            let bytes =
                fs::read(path).map_err(|source| LoginError::Read { path: path.into(), source })?;
            config.files.push(LoginFile::parse(path, &bytes)?);
            return Ok(config);
        }
        let named = given(&places.docker_config).map(|dir| dir.join("config.json"));
        let is_named = named.is_some();
        let docker =
            named.or_else(|| given(&places.home).map(|home| home.join(".docker/config.json")));
        let podman = given(&places.runtime_dir).map(|dir| dir.join("containers/auth.json"));
        for (path, is_named) in [(docker, is_named), (podman, false)] {
            let Some(path) = path else { continue };
            match fs::read(&path) {
                Ok(bytes) => config.files.push(LoginFile::parse(&path, &bytes)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) if is_named => return Err(LoginError::Read { path, source }),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the file of logins is not used");
                }
            }
        }
        Ok(config)
    }

    /// The login for the registry of `name`, in Docker's order: of each file the helper for the host, or
    /// else the helper for all, or else what the file says itself, of the longest namespace above the
    /// repository. None when no file has one.
    ///
    /// # Errors
    /// [`LoginError::Auth`] and [`LoginError::HelperName`] when a file has nonsense for this
    /// registry; the others of [`LoginError`] when a helper gives no answer.
    pub async fn login(&self, name: &ImageName) -> Result<Option<RegistryLogin>, LoginError> {
        let host = account(name.host());
        for file in &self.files {
            let login = match file.helper(host) {
                Some(helper) => {
                    // It is found in PATH, and not by a path of its own.
                    if helper.contains(['/', '\0']) {
                        let (path, helper) = (file.path().to_owned(), helper.into());
                        return Err(LoginError::HelperName { path, helper });
                    }
                    let program = format!("docker-credential-{helper}");
                    ask(&program, server(host), self.path.as_deref(), PATIENCE).await?
                }
                None => file.login(name)?,
            };
            if login.is_some() {
                return Ok(login);
            }
        }
        Ok(None)
    }
}

/// A path that was said.
fn given(path: &Option<PathBuf>) -> Option<&Path> {
    path.as_deref().filter(|path| !path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::helper::testing::helper;
    use super::*;

    async fn login(config: &DockerConfig, image: &str) -> Result<String, LoginError> {
        Ok(match config.login(&image.parse().unwrap()).await? {
            None => "nobody".into(),
            Some(RegistryLogin::Password { name, password }) => format!("{name}:{password}"),
            Some(RegistryLogin::IdentityToken(token)) => format!("token {token}"),
        })
    }

    #[tokio::test]
    async fn helpers_come_before_what_a_file_says_and_files_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let answer =
            |name: &str| format!(r#"echo "{{\"Username\":\"{name}\",\"Secret\":\"$(cat)\"}}""#);
        helper(dir.path(), "all", &answer("all"));
        helper(dir.path(), "one", &answer("one"));
        helper(dir.path(), "none", "echo credentials not found in native keychain; exit 1");
        let file = |text: &str| LoginFile::parse(Path::new("/c/config.json"), text.as_bytes());
        let first = r#"{
            "auths": {"a.io": {"auth": "bWU6cA=="}},
            "credHelpers": {
                "https://one.io": "one", "docker.io": "one", "none.io": "none", "a.io": "",
                "lost.io": "lost", "bad.io": "../x"
            },
            "credsStore": "all"
        }"#;
        let second =
            r#"{"auths": {"none.io": {"auth": "eW91OnA="}, "b.io": {"auth": "eW91OnA="}}}"#;
        let path = std::env::join_paths([dir.path(), "/usr/bin".as_ref(), "/bin".as_ref()]);
        let files = vec![file(first).unwrap(), file(second).unwrap()];
        let config = DockerConfig { files, path: Some(path.unwrap()) };
        let case = async |image: &str, expected: &str| {
            assert_eq!(login(&config, image).await.unwrap(), expected, "{image}");
        };
        case("one.io/x", "one:one.io").await;
        case("none.io/x", "you:p").await;
        case("a.io/x", "me:p").await;
        case("b.io/x", "all:b.io").await;
        case("x", "one:https://index.docker.io/v1/").await;
        let fails = async |image: &str| login(&config, image).await.unwrap_err();
        insta::assert_snapshot!(fails("bad.io/x").await, @"`/c/config.json`: `../x` is not the name of a credential helper");
        insta::assert_snapshot!(fails("lost.io/x").await, @"`docker-credential-lost`, which has the login for `lost.io`, cannot be run");
        assert!(!format!("{config:?}").contains("bWU6"));
    }

    #[tokio::test]
    async fn files_are_read_where_people_have_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let write = |path: &str, auth: &str| {
            let path = root.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, format!(r#"{{"auths": {{"h:1": {{"auth": "{auth}"}}}}}}"#))
                .unwrap();
        };
        let case = async |places: &LoginPlaces, expected: &str| {
            let config = DockerConfig::read(places).unwrap();
            assert_eq!(login(&config, "h:1/x").await.unwrap(), expected, "{places:?}");
        };
        let places = LoginPlaces {
            home: Some(root.into()),
            runtime_dir: Some(root.join("run")),
            ..LoginPlaces::default()
        };
        case(&LoginPlaces::default(), "nobody").await;
        case(&places, "nobody").await;
        write("run/containers/auth.json", "cG9kbWFuOnA=");
        case(&places, "podman:p").await;
        write(".docker/config.json", "ZG9ja2VyOnA=");
        case(&places, "docker:p").await;
        let places = LoginPlaces { docker_config: Some(root.join("d")), ..places };
        case(&places, "podman:p").await;
        write("d/config.json", "bmFtZWQ6cA==");
        case(&places, "named:p").await;
        let file = LoginPlaces { registry_auth_file: Some(root.join("a.json")), ..places.clone() };
        assert!(matches!(DockerConfig::read(&file), Err(LoginError::Read { .. })));
        fs_err::write(root.join("a.json"), "\n").unwrap();
        case(&file, "nobody").await;
        let unsaid = LoginPlaces { registry_auth_file: Some(PathBuf::new()), ..places.clone() };
        case(&unsaid, "named:p").await;
        // A directory is nothing to read: an error where it was named, and else passed over.
        fs_err::remove_file(root.join("d/config.json")).unwrap();
        fs_err::create_dir(root.join("d/config.json")).unwrap();
        assert!(matches!(DockerConfig::read(&places), Err(LoginError::Read { .. })));
        fs_err::remove_file(root.join(".docker/config.json")).unwrap();
        fs_err::create_dir(root.join(".docker/config.json")).unwrap();
        case(&LoginPlaces { docker_config: None, ..places }, "podman:p").await;
    }
}
