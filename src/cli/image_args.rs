//! The options that say what an image of a set looks like.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use oci_spec::image::{ANNOTATION_BASE_IMAGE_NAME, ANNOTATION_REVISION, Arch};

use super::exit::CliError;
use crate::image::{Shape, Treatment};

/// What an image of a set looks like.
#[derive(Debug, Args)]
#[command(next_help_heading = "Image options")]
pub(super) struct ImageArgs {
    /// How wheels are put into layers: split moves little when little changes, single is one layer
    /// with everything, which LOCI's own consumers take [default: split]
    #[arg(long, value_name = "LAYOUT", value_enum)]
    layout: Option<LayoutArg>,
    #[command(flatten)]
    said: AnnotationArgs,
    /// The image that builds ran on (`org.opencontainers.image.base.name`) [default: scratch]
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
}

/// What any image says of itself.
#[derive(Debug, Args)]
pub(super) struct AnnotationArgs {
    /// Something the image says of itself, such as `org.opencontainers.image.version=2025.2`, repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// The revision the image is made of (`org.opencontainers.image.revision`)
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutArg {
    Split,
    Single,
}

impl ImageArgs {
    /// How layers are cut.
    pub(super) const fn shape(&self) -> Shape {
        match self.layout {
            None | Some(LayoutArg::Split) => Shape::Split,
            Some(LayoutArg::Single) => Shape::Single,
        }
    }

    /// Whether an image is wanted that is not the one that is there: one made anew of its wheels.
    pub(super) fn treatment(&self) -> Treatment {
        let asked = self.layout.is_some()
            || !self.said.annotation.is_empty()
            || self.said.revision.is_some()
            || self.base.is_some();
        if asked { Treatment::Remake } else { Treatment::Keep }
    }

    /// What the image says of itself, by key.
    pub(super) fn annotations(&self) -> Result<BTreeMap<String, String>, CliError> {
        let mut annotations = BTreeMap::new();
        if let Some(base) = &self.base {
            annotations.insert(ANNOTATION_BASE_IMAGE_NAME.to_owned(), base.clone());
        }
        annotations.extend(self.said.annotations()?);
        Ok(annotations)
    }
}

impl AnnotationArgs {
    /// What the image says of itself, by key.
    pub(super) fn annotations(&self) -> Result<BTreeMap<String, String>, CliError> {
        let mut annotations = BTreeMap::new();
        if let Some(revision) = &self.revision {
            annotations.insert(ANNOTATION_REVISION.to_owned(), revision.clone());
        }
        for text in &self.annotation {
            let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
            let (key, value) = pair.ok_or_else(|| CliError::Value {
                option: "--annotation",
                text: text.clone(),
                reason: "is not KEY=VALUE".into(),
            })?;
            annotations.insert(key.to_owned(), value.to_owned());
        }
        Ok(annotations)
    }
}

/// The architecture of a platform given as `--platform`.
pub(super) fn architecture(text: &str) -> Result<Arch, CliError> {
    match text.split_once('/') {
        Some(("linux", architecture)) if !architecture.is_empty() => Ok(architecture.into()),
        _ => Err(CliError::Value {
            option: "--platform",
            text: text.into(),
            reason: "is not a platform such as `linux/amd64` or `linux/arm64`".into(),
        }),
    }
}
