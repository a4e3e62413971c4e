//! Whether a registry is spoken to in https or http, and what is said only where nobody listens.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use serde_json::json;

use crate::harbour::Harbour;
use crate::support::registry::Registry;

/// A server on the loopback that answers each connection's first request, of which it reads the head, by
/// what `answer` makes of it. It ends with the test.
fn server(answer: fn(&str) -> &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = vec![0; 4096];
            let count = stream.read(&mut head).unwrap_or(0);
            let answer = answer(&String::from_utf8_lossy(&head[..count]));
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_login_is_not_shown_to_everybody() {
    // A proxy, behind which nobody speaks https, and a registry wants a password.
    let proxy = server(|head| match head.starts_with("CONNECT") {
        true => "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        false if head.contains("authorization") => {
            "HTTP/1.1 418 Heard It\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        }
        false => {
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"x\"\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        }
    });
    let harbour = Harbour::with(Registry::new());
    let login = json!({"auths": {"registry.example.org": {"auth": "bWU6c2VjcmV0"}}});
    harbour.world.write("home/.docker/config.json", login.to_string());
    let install =
        "install nova --wheels docker://registry.example.org/x/y --prefix env --retries 0";
    let run = harbour.loci(&format!("{install} --proxy http://{proxy}"));
    insta::assert_snapshot!(run.ends(1).err, @r#"
    error: the login for `registry.example.org` is not sent, for it would go over plain http
      hint: say `--registry-protocol http` where everybody on the way may read it
    "#);
    // Who says that it may, has it sent.
    let run = harbour.loci(&format!("{install} --proxy http://{proxy} --registry-protocol http"));
    insta::assert_snapshot!(run.ends(1).err, @"error: `registry.example.org/x/y` refuses the manifest `latest`: 418 I'm a teapot");
}

/// A server on the loopback with a certificate of its own making; one that does not begin with TLS hears
/// that there is a registry. What it was spoken to in is noted.
fn tls_server(directory: &Path) -> Option<(String, Arc<Mutex<Vec<&'static str>>>)> {
    let [key, certificate] = ["key.pem", "certificate.pem"].map(|name| directory.join(name));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=nobody"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("skipped: openssl makes no certificate");
        return None;
    }
    let chain = vec![CertificateDer::from_pem_file(&certificate).unwrap()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(&key).unwrap());
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = Arc::<Mutex<Vec<_>>>::default();
    let notes = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut first = [0];
            if stream.peek(&mut first).is_ok() && first != [22] {
                notes.lock().unwrap().push("http");
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
                continue;
            }
            notes.lock().unwrap().push("https");
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
        }
    });
    Some((address, heard))
}

#[test]
fn a_certificate_of_nobody_is_no_reason_to_speak_openly() {
    let harbour = Harbour::with(Registry::new());
    let Some((host, heard)) = tls_server(&harbour.world.path("")) else { return };
    let install = format!("install nova --wheels docker://{host}/x/y --prefix env");
    let run = harbour.loci(&install).ends(1);
    insta::assert_snapshot!(run.err.replace(&host, "SERVER"), @r#"
    error: the connection to `https://SERVER/v2/` failed
      because: invalid peer certificate: UnknownIssuer
      hint: name who vouches for it with `--cert`, or accept any certificate with `--registry-insecure`
    "#);
    // It was asked once, for it will not have another certificate next time.
    assert_eq!(*heard.lock().unwrap(), ["https"]);
    let trusted = harbour.world.path("certificate.pem");
    let run = harbour.loci(&format!("{install} --retries 0 --cert {}", trusted.display())).ends(1);
    assert!(!run.err.contains("certificate"), "{}", run.err);
    let run = harbour.loci(&format!("{install} --retries 0 --registry-insecure")).ends(1);
    assert!(!run.err.contains("certificate"), "{}", run.err);
}

#[test]
fn who_speaks_http_does_not_speak_https() {
    let host = server(|_| "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let harbour = Harbour::with(Registry::new());
    let wrong = |arguments: &str| {
        let arguments = format!("install nova --prefix env --retries 0 --wheels {arguments}");
        harbour.loci(&arguments).ends(1).err.replace(&host, "SERVER")
    };
    let image = format!("docker://{host}/x/y --registry-protocol https");
    insta::assert_snapshot!(wrong(&image), @r#"
    error: the connection to `https://SERVER/v2/x/y/manifests/latest` failed
      because: received corrupt message of type InvalidContentType
      hint: where it speaks http, say `--registry-protocol http`
    "#);
    insta::assert_snapshot!(wrong(&format!("https://{host}/wheels.tar")), @r#"
    error: the connection to `https://SERVER/wheels.tar` failed
      because: received corrupt message of type InvalidContentType
      hint: where it speaks http, write `http://`
    "#);
}
