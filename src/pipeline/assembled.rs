//! [`Assembled`]: one service's image before it is anywhere: what is in it, as layers.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use oci_spec::image::{
    ANNOTATION_BASE_IMAGE_DIGEST, ANNOTATION_BASE_IMAGE_NAME, ANNOTATION_CREATED,
    ANNOTATION_REVISION, ANNOTATION_SOURCE, ANNOTATION_TITLE, ANNOTATION_VERSION,
};
use serde_json::json;

use super::blocking;
use super::compose::{Composed, OpenSet};
use super::error::PipelineError;
use super::events::Activity;
use super::foundation::{Foundation, store_layer, unpacked};
use super::install::warn_of_collisions;
use super::service_files::{Footing, service_files};
use super::spec::{ServiceSpec, Site, scheme};
use super::step_sources::StepSources;
use super::workshop::Workshop;
use crate::image::appended::{AddedContent, AddedLayer};
use crate::image::base::Base;
use crate::image::sbom::BaseImage;
use crate::image::tree_layer::{Body, TreeLayer};
use crate::service::act;
use crate::service::assembly;
use crate::service::environment::{Basis, PlannedEnvironment, Visible};
use crate::service::facts::{Found, RootFacts};
use crate::service::node::Node;
use crate::service::node_layer;
use crate::service::prefix::PrefixError;
use crate::service::project_account::{ENVIRONMENT, environment};
use crate::service::root::difference::Difference;
use crate::service::root::leftovers::Leftovers;
use crate::service::root::run::Root;
use crate::service::root::snapshot::Snapshot;
use crate::service::root::unpack::unpack;
use crate::service::run_step;
use crate::service::skeleton::{ids, skeleton};
use crate::service::steps::StepPlan;
use crate::store::layout::canonical_json;
use crate::vocab::civil::Civil;
use crate::vocab::digest::Digest;
use crate::vocab::safe_path::SafePath;
use crate::wheel::direct_url::DirectUrl;

/// The annotation with the project's name.
const PROJECT: &str = "org.openstack.loci.project";
/// The annotation with the reference that the project was checked out at, as it was asked for.
const REFERENCE: &str = "org.openstack.loci.ref";
/// The annotation with the digest of the constraints.
const CONSTRAINTS: &str = "org.openstack.loci.constraints";
/// Part of what the outcome of steps is remembered by: changes whenever the same would be done otherwise.
const STEPS_FORMAT: u32 = 3;

/// A service with all that its image consists of.
pub(super) struct Assembled {
    /// Its packages.
    pub(super) composed: Composed,
    /// What is put upon the base, the lowest first.
    pub(super) layers: Vec<AddedLayer>,
    /// What the image says of itself.
    pub(super) annotations: BTreeMap<String, String>,
    /// Its bill of materials.
    pub(super) bill: Vec<u8>,
}

/// All that goes into one image.
pub(super) struct Assembly<'a> {
    pub(super) workshop: &'a Arc<Workshop>,
    pub(super) base: &'a Base,
    pub(super) foundation: &'a Arc<Foundation>,
    pub(super) set: &'a Arc<OpenSet>,
    pub(super) spec: &'a ServiceSpec,
    pub(super) site: &'a Site,
    pub(super) annotations: &'a BTreeMap<String, String>,
    pub(super) epoch: u64,
}

impl Assembly<'_> {
    /// Resolves the service, and cuts it into layers.
    pub(super) async fn run(&self) -> Result<Assembled, PipelineError> {
        let (spec, facts) = (self.spec, &self.foundation.facts);
        let accounts = facts.accounts();
        let ids = ids(&spec.name, spec.account.as_ref(), &accounts)?;
        let minor = self.foundation.interpreter.target().minor();
        let plan = spec.plan(self.site, &scheme(minor), ids)?;
        // Who a user is stands before anything is fetched or built.
        let skeleton = skeleton(&spec.name, spec.account.as_ref(), &accounts, &plan)?;
        let composed = self.set.compose(self.workshop, &self.site.wants).await?;
        let composed = composed.beside(facts.environment.clone(), minor, &self.workshop.events)?;
        let sources = StepSources::fetch(self.workshop, &plan).await?;

        let environment = self.environment(&composed).await?;
        let mut there = facts.directories();
        let mut layers = self.foundation.layers.clone();
        for layer in environment {
            there.extend(directories(&layer.tree));
            let content = AddedContent::Tree(layer.tree);
            layers.push(AddedLayer { comment: layer.comment, content });
        }
        let mut nodes = skeleton;
        let (files, bill) = self.files(&composed).await?;
        nodes.extend(files);
        if !plan.needs_root() {
            nodes.extend(act::nodes(&plan, &sources.places)?);
        }
        let system = node_layer::layer(&nodes, facts, &there, self.epoch)?;
        if !system.is_empty() {
            layers.push(AddedLayer {
                comment: format!("users, directories and files of {}", spec.name),
                content: AddedContent::Tree(Arc::new(system)),
            });
        }
        if plan.needs_root() {
            layers.extend(self.steps_layer(&layers, plan, sources).await?);
        }
        let annotations = self.describe(&composed);
        Ok(Assembled { composed, layers, annotations, bill })
    }

    /// What the image says of itself in files, and its bill of materials by itself.
    async fn files(&self, composed: &Composed) -> Result<(Vec<Node>, Vec<u8>), PipelineError> {
        let (composed, foundation) = (composed.clone(), Arc::clone(self.foundation));
        let (name, distro) = (self.spec.name.to_string(), self.site.distro.clone());
        let release = self.spec.release.clone();
        let name_of_base = self.base.published().map(str::to_owned);
        let base = BaseImage { name: name_of_base, digest: Some(self.base.digest()) };
        let epoch = self.epoch;
        blocking(move || {
            let packages = &foundation.packages;
            let footing = Footing { distro: &distro, packages, base: Some(base), epoch };
            service_files((&name, release.as_deref()), &composed, &footing)
        })
        .await
    }

    async fn environment(
        &self,
        composed: &Composed,
    ) -> Result<Vec<assembly::EnvironmentLayer>, PipelineError> {
        let (composed, workshop) = (composed.clone(), Arc::clone(self.workshop));
        let (foundation, depth) = (Arc::clone(self.foundation), self.base.depth());
        let epoch = self.epoch;
        blocking(move || {
            let installations = composed.installations()?;
            let prefix = format!("/{ENVIRONMENT}");
            let basis = composed.present().map_or(Basis::New(Visible::System), Basis::Present);
            let planned = PlannedEnvironment::plan(
                Path::new(&prefix),
                &foundation.interpreter,
                basis,
                &installations,
            )
            .map_err(PrefixError::from)?;
            warn_of_collisions(&planned.collisions, &workshop.events);
            let depth = depth + foundation.layers.len();
            let there = foundation.facts.directories();
            let place = environment_place(&foundation.facts)?;
            Ok(assembly::layers(&planned, &place, &foundation.facts, &there, depth, epoch))
        })
        .await
    }

    /// Does the steps in a private root that has all that is below them, and makes a layer of what they
    /// changed. The store remembers it by all that went in (kind `steps`).
    async fn steps_layer(
        &self,
        below: &[AddedLayer],
        plan: StepPlan,
        sources: StepSources,
    ) -> Result<Option<AddedLayer>, PipelineError> {
        let recipes: Vec<Digest> = below
            .iter()
            .map(|layer| match &layer.content {
                AddedContent::Tree(tree) => tree.recipe(),
                AddedContent::Blob { digest, .. } => *digest,
            })
            .collect();
        let key = Digest::of(&canonical_json(&json!({
            "format": STEPS_FORMAT,
            "base": self.base.digest(),
            "below": recipes,
            "plan": format!("{plan:?}"),
            "sources": sources.commits,
            "epoch": self.epoch,
        })));
        let kept = self.workshop.store.kept("steps");
        let layer = match kept.get::<Option<(Digest, u64)>>(&key) {
            Some(layer) => layer,
            None => {
                let layer = self.act(below, plan, sources).await?;
                let blobs: Vec<Digest> = layer.iter().map(|(digest, _)| *digest).collect();
                kept.put(&key, &layer, &blobs)?;
                layer
            }
        };
        Ok(layer.map(|(digest, size)| AddedLayer {
            comment: format!("the steps of {}", self.spec.name),
            content: AddedContent::Blob { digest, size },
        }))
    }

    async fn act(
        &self,
        below: &[AddedLayer],
        plan: StepPlan,
        sources: StepSources,
    ) -> Result<Option<(Digest, u64)>, PipelineError> {
        let limits = &self.workshop.limits;
        let _permit = limits.roots.acquire().await.expect("the semaphore is never closed");
        blocking(|| Ok(Root::check_private()?)).await?;
        let dir = unpacked(self.workshop, self.base).await?;
        let (below, store, epoch) = (below.to_vec(), self.workshop.store.clone(), self.epoch);
        let task = self.workshop.events.start(Activity::Run { step: self.spec.name.to_string() });
        task.run(|_| async move {
            blocking(move || {
                for layer in &below {
                    let tar: Box<dyn io::Read> = match &layer.content {
                        AddedContent::Tree(tree) => Box::new(tree.reader()?),
                        AddedContent::Blob { digest, .. } => {
                            Box::new(std::fs::File::open(store.path(digest))?)
                        }
                    };
                    unpack([tar], dir.path())?;
                }
                let root = Root::private(dir.path())?.with_epoch(epoch);
                let snapshot = Snapshot::of(dir.path())?;
                let named = act::act(dir.path(), &plan, &sources.places, &mut |step| {
                    run_step::run(&root, step)
                })?;
                let leftovers = Leftovers::of_commands(named);
                let difference = Difference::settle(&snapshot, dir.path(), &leftovers)?;
                match difference.is_empty() {
                    true => Ok(None),
                    false => Ok(Some(store_layer(&difference, dir.path(), epoch, &store)?)),
                }
            })
            .await
        })
        .await
    }

    /// What the image says of itself; what people say goes before it.
    fn describe(&self, composed: &Composed) -> BTreeMap<String, String> {
        let project = &composed.project;
        let version = composed.resolution.packages.get(project);
        let mut said = BTreeMap::from([
            (ANNOTATION_CREATED, Civil::of(self.epoch).to_string()),
            (ANNOTATION_TITLE, self.spec.name.to_string()),
            (ANNOTATION_BASE_IMAGE_DIGEST, self.base.digest().to_string()),
            (PROJECT, self.spec.name.to_string()),
            (CONSTRAINTS, Digest::of(self.set.constraints.as_bytes()).to_string()),
        ]);
        let published = self.base.published().map(str::to_owned);
        said.extend(published.map(|name| (ANNOTATION_BASE_IMAGE_NAME, name)));
        if let Some(package) = version {
            said.insert(ANNOTATION_VERSION, package.version.to_string());
        }
        if let Some(DirectUrl::Git { url, requested_revision, commit_id }) =
            composed.direct_urls.get(project)
        {
            said.insert(ANNOTATION_SOURCE, url.clone());
            said.insert(ANNOTATION_REVISION, commit_id.clone());
            said.extend(requested_revision.clone().map(|reference| (REFERENCE, reference)));
        }
        let mut said: BTreeMap<String, String> =
            said.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        said.extend(self.annotations.clone());
        said
    }
}

/// The directories that a layer has.
fn directories(layer: &TreeLayer) -> impl Iterator<Item = SafePath> {
    let nodes = layer.nodes();
    nodes.filter(|(_, node)| matches!(node.body, Body::Directory)).map(|(path, _)| path.clone())
}

/// Where the environment stands in layers upon a root of which these `facts` are known.
fn environment_place(facts: &RootFacts) -> Result<SafePath, PipelineError> {
    let prefix = || Path::new("/").join(ENVIRONMENT);
    let place = facts
        .place(&environment())
        .map_err(|source| PrefixError::Look { prefix: prefix(), source })?;
    match facts.at(&place) {
        Some(Found::Link(_)) => Err(PrefixError::Link { prefix: prefix() }.into()),
        Some(Found::File) => Err(PrefixError::Exists { prefix: prefix() }.into()),
        Some(Found::Directory) | None => Ok(place),
    }
}
