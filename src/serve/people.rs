//! Pages for people: what is in the set, and how a wheel was built.
//!
//! They are whole without a script; the one there is filters the table, and shows the address that
//! the reader came by. Their [`content_security_policy`] lets nothing else run or load.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::catalog::{Catalog, ServedBuild, ServedWheel};
use super::markup::{escaped, file_path};
use super::page::Page;
use crate::store::set::{CONSTRAINTS, GLOBAL_REQUIREMENTS, Origin};
use crate::vocab::redact::redact;
use crate::vocab::size::Size;

/// The media type of these pages.
pub(super) const HTML: &str = "text/html; charset=utf-8";

const STYLE: &str = include_str!("people.css");
const SCRIPT: &str = include_str!("people.js");

/// What browsers may do with any page of the site: apply the one style, run the one script, follow
/// links.
pub(super) fn content_security_policy() -> HeaderValue {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        HeaderValue::try_from(policy).expect("base64 and words are visible")
    });
    POLICY.clone()
}

/// The page at `/`; `url` is where the site is, for those who read without the script.
pub(super) fn front(catalog: &Catalog, url: &str) -> Page {
    let Catalog { tag, wheels, constraints, global_requirements } = catalog;
    let tag = escaped(tag.as_str()).into_owned();
    let url = escaped(url);
    let bytes = wheels.iter().map(|wheel| wheel.size).sum();
    let built = wheels.iter().filter(|wheel| matches!(wheel.origin, Origin::Built { .. })).count();
    let mut body = format!(
        "<h1>{tag} <small>{} of {}, {}, {built} built</small></h1>\n\
         <pre>pip install --index-url <span class=\"url\">{url}simple/</span><span class=\"trust\"></span> NAME\n\
         uv pip install --index-url <span class=\"url\">{url}simple/</span> NAME</pre>\n\
         <p>For programs: <a href=\"simple/\">the index</a>",
        count(wheels.len(), "wheel"),
        count(catalog.projects().count(), "project"),
        Size(bytes),
    );
    for (name, text) in [(CONSTRAINTS, constraints), (GLOBAL_REQUIREMENTS, global_requirements)] {
        if !text.is_empty() {
            body.push_str(&format!(", <a href=\"{name}\">{name}</a>"));
        }
    }
    body.push_str(
        "</p>\n<input type=\"search\" placeholder=\"Filter: a name, a version, built\" \
         aria-label=\"Filter\" hidden>\n<table>\n<thead><tr><th>Package</th><th>Version</th>\
         <th class=\"size\">Size</th><th>Comes from</th><th class=\"wheel\">Wheel</th></tr></thead>\n<tbody>\n",
    );
    for wheel in wheels {
        body.push_str(&row(wheel));
    }
    body.push_str(&format!("</tbody>\n</table>\n<script>{SCRIPT}</script>\n"));
    framed(&format!("{tag}: wheels"), &body)
}

fn row(wheel: &ServedWheel) -> String {
    let name = escaped(wheel.filename.name().as_ref());
    let version = wheel.filename.version().to_string();
    format!(
        "<tr><th><a href=\"simple/{name}/\">{name}</a></th><td>{}</td><td class=\"size\">{}</td>\
         <td class=\"from\">{}</td><td class=\"wheel\"><a href=\"{}\">{}</a></td></tr>\n",
        escaped(&version),
        Size(wheel.size),
        origin(wheel),
        escaped(&file_path(wheel)),
        escaped(wheel.filename.as_str()),
    )
}

fn origin(wheel: &ServedWheel) -> String {
    match (&wheel.origin, &wheel.build) {
        (Origin::Fetched { url }, _) => match Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => format!(
                "fetched from <a href=\"{}\" rel=\"noreferrer\">{}</a>",
                escaped(url),
                escaped(parsed.host_str().unwrap_or_default())
            ),
            _ => format!("fetched from {}", escaped(url)),
        },
        (Origin::Built { key }, Some(build)) => format!(
            "<span class=\"built\">built</span> in {}, <a href=\"log/{}\">log</a>",
            seconds(build.record.seconds),
            key.hex()
        ),
        (Origin::Built { key }, None) => format!(
            "<span class=\"built\">built</span> <code title=\"the build key\">{}</code>",
            key.short()
        ),
        (Origin::Imported { from }, _) => format!("came with {}", escaped(&redact(from))),
    }
}

/// The page of a build. `text` is the end of its log, as much as is shown.
pub(super) fn log(build: &ServedBuild, text: &[u8]) -> Page {
    let ServedBuild { key, record, log_size } = build;
    let title = format!("{} {}", record.name, record.version);
    let mut facts = vec![
        ("Wheel", record.wheel.to_string()),
        ("Build key", key.hex()),
        ("Took", seconds(record.seconds)),
    ];
    if let Some(peak) = record.peak_memory {
        facts.push(("Peak memory", Size(peak).to_string()));
    }
    facts.push(("Built with", record.requires.join(", ")));
    let mut body = format!("<h1>{} <small>how it was built</small></h1>\n<dl>\n", escaped(&title));
    for (name, fact) in facts {
        body.push_str(&format!("<dt>{name}</dt><dd>{}</dd>\n", escaped(&fact)));
    }
    body.push_str("</dl>\n<p><a href=\"../\">All wheels</a>, ");
    body.push_str(&format!("<a href=\"{}.txt\">the log as a text</a>", key.hex()));
    if (text.len() as u64) < *log_size {
        body.push_str(&format!(
            ": of its {}, the last {} are below",
            Size(*log_size),
            Size(text.len() as u64)
        ));
    }
    let text = String::from_utf8_lossy(text);
    body.push_str(&format!("</p>\n<pre class=\"log\">{}</pre>\n", escaped(&text)));
    framed(&format!("{title}: build log"), &body)
}

/// The page of an answer that is only a sentence.
pub(super) fn message(title: &str, text: &str) -> String {
    whole(title, &format!("<h1>{}</h1>\n<p>{}</p>\n", escaped(title), escaped(text)))
}

fn framed(title: &str, body: &str) -> Page {
    Page::new(HTML, whole(title, body))
}

fn whole(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n\
         <body>\n{body}</body>\n</html>\n",
        escaped(title)
    )
}

fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

fn seconds(seconds: f64) -> String {
    if seconds < 9.95 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}
