//! [`SimplePage`]: the pages that installers read, in each [`Form`].
//!
//! HTML as PEP 503 has it, with `data-requires-python` and PEP 714's `data-core-metadata`; JSON as PEP
//! 691 has it, with what version 1.1 adds (PEP 700) but for the upload time, which may be left out:
//! nobody uploaded anything here. All links are relative, so that the index may stand behind a proxy
//! under another path.

use serde::Serialize;

use super::accept::Form;
use super::catalog::ServedWheel;
use super::markup::{escaped, file_path};
use super::page::Page;
use crate::vocab::requirement::PackageName;

/// The version of the interface (PEP 629).
const API_VERSION: &str = "1.1";

/// A page of the index, in every form.
#[derive(Debug, Clone)]
pub(super) struct SimplePage {
    html: Page,
    simple_html: Page,
    simple_json: Page,
}

impl SimplePage {
    fn new(html: String, json: &impl Serialize) -> Self {
        let html = Page::new("text/html; charset=utf-8", html);
        let json = serde_json::to_vec(json).expect("texts and numbers are JSON");
        Self {
            simple_html: html.retyped("application/vnd.pypi.simple.v1+html"),
            html,
            simple_json: Page::new("application/vnd.pypi.simple.v1+json", json),
        }
    }

    /// The list of projects.
    pub(super) fn index<'a>(names: impl Iterator<Item = &'a PackageName>) -> Self {
        let names: Vec<&str> = names.map(AsRef::as_ref).collect();
        let mut links = String::new();
        for name in &names {
            let name = escaped(name);
            links.push_str(&format!("<a href=\"{name}/\">{name}</a><br>\n"));
        }
        let projects = names.into_iter().map(|name| Project { name }).collect();
        Self::new(html("Simple index", &links), &Index { meta: Meta::default(), projects })
    }

    /// The page of a project.
    pub(super) fn project(name: &PackageName, wheels: &[ServedWheel]) -> Self {
        let mut links = String::new();
        for wheel in wheels {
            let hex = wheel.digest.hex();
            links.push_str(&format!(
                "<a href=\"../../{}#sha256={hex}\" data-core-metadata=\"sha256={}\"",
                escaped(&file_path(wheel)),
                wheel.metadata_digest.hex()
            ));
            if let Some(range) = &wheel.requires_python {
                links.push_str(&format!(" data-requires-python=\"{}\"", escaped(range)));
            }
            links.push_str(&format!(">{}</a><br>\n", escaped(wheel.filename.as_str())));
        }
        let mut versions: Vec<String> =
            wheels.iter().map(|wheel| wheel.filename.version().to_string()).collect();
        versions.dedup();
        let json = ProjectFiles {
            meta: Meta::default(),
            name: name.as_ref(),
            versions,
            files: wheels.iter().map(File::of).collect(),
        };
        Self::new(html(&format!("Links for {name}"), &links), &json)
    }

    /// The page in one form.
    pub(super) fn form(&self, form: Form) -> &Page {
        match form {
            Form::Html => &self.html,
            Form::SimpleHtml => &self.simple_html,
            Form::SimpleJson => &self.simple_json,
        }
    }
}

fn html(title: &str, links: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"pypi:repository-version\" content=\"{API_VERSION}\">\n\
         <title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n{links}</body>\n</html>\n"
    )
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    api_version: &'static str,
}

impl Default for Meta {
    fn default() -> Self {
        Self { api_version: API_VERSION }
    }
}

#[derive(Serialize)]
struct Index<'a> {
    meta: Meta,
    projects: Vec<Project<'a>>,
}

#[derive(Serialize)]
struct Project<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct ProjectFiles<'a> {
    meta: Meta,
    name: &'a str,
    versions: Vec<String>,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct File<'a> {
    filename: &'a str,
    url: String,
    hashes: Hashes,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<&'a str>,
    core_metadata: Hashes,
}

#[derive(Serialize)]
struct Hashes {
    sha256: String,
}

impl<'a> File<'a> {
    fn of(wheel: &'a ServedWheel) -> Self {
        Self {
            filename: wheel.filename.as_str(),
            url: format!("../../{}", file_path(wheel)),
            hashes: Hashes { sha256: wheel.digest.hex() },
            size: wheel.size,
            requires_python: wheel.requires_python.as_deref(),
            core_metadata: Hashes { sha256: wheel.metadata_digest.hex() },
        }
    }
}
