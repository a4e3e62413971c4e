//! `loci serve`: a set in the store as a package index, until it is told to stop.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::exit::{CliError, bare};
use super::output;
use super::run_args::{GlobalArgs, Signals, on_runtime};
use crate::image::reference::Reference;
use crate::pipeline::events::Events;
use crate::report::words;
use crate::serve::server::{Server, Trouble};
use crate::serve::site::Site;
use crate::store::names::Tag;

#[derive(Debug, Args)]
#[command(after_help = "\
It is read only, and serves the set as it is when the command starts. Interrupt it to end it; what
is being sent then has some seconds to end.

Examples:
  loci serve
  loci serve --listen 0.0.0.0:8080 store:master
  pip install --index-url http://127.0.0.1:8080/simple/ keystone
  uv pip install --index-url http://127.0.0.1:8080/simple/ keystone")]
pub(super) struct ServeArgs {
    /// The set: store:[TAG], or its tag alone
    #[arg(value_name = "SET", default_value = "latest")]
    set: String,
    /// Where to listen; port 0 is any that is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
}

/// Runs `loci serve`.
pub(super) fn run(global: &GlobalArgs, args: &ServeArgs) -> Result<ExitCode, CliError> {
    let tag = set(&args.set)?;
    let store = global.open_named_store()?;
    let display = global.plain_display();
    let events = Events::to(display.reporter());
    let trouble: Trouble = Arc::new(move |text| events.warn(text));
    on_runtime(async {
        let mut signals = Signals::listen()?;
        let begin = async {
            let server = Server::bind(&args.listen).await?;
            let url = server.url();
            let open = move || -> Result<_, CliError> {
                let lease = store.lease()?;
                Ok((Site::open(&store, &tag, &url)?, lease))
            };
            let opened = tokio::task::spawn_blocking(open).await;
            let (site, lease) = opened.map_err(CliError::Task)??;
            Ok::<_, CliError>((server, site, lease))
        };
        let (server, site, _lease) = tokio::select! {
            begun = begin => begun?,
            () = signals.next() => return Err(CliError::Interrupted),
        };
        announce(global, &server, &site)?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let mut running = std::pin::pin!(server.run(site, trouble, async {
            // A sender that is gone is a reason to stop as well.
            let _ = stopped.await;
        }));
        tokio::select! {
            () = &mut running => return Ok(()),
            () = signals.next() => {}
        }
        global.say("stopping\n");
        let _ = stop.send(());
        tokio::select! {
            () = running => Ok(()),
            () = signals.next() => Err(CliError::Interrupted),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The set that is meant, by its tag or as other verbs name it.
fn set(text: &str) -> Result<Tag, CliError> {
    match text.parse::<Reference>() {
        Ok(Reference::Store { tag }) => Ok(tag),
        Ok(_) if !Reference::is_bare(text) || text.contains('/') => Err(CliError::Value {
            option: "SET",
            text: text.into(),
            reason: "is not in the store; `store:TAG` is, or the tag alone".into(),
        }),
        _ => text.parse().map_err(|error: crate::store::names::TagError| CliError::Value {
            option: "SET",
            text: text.into(),
            reason: bare(text, &error.to_string()),
        }),
    }
}

/// Says where the site is and how to use it.
fn announce(global: &GlobalArgs, server: &Server, site: &Site) -> Result<(), CliError> {
    let index = format!("{}simple/", server.url());
    let ip = server.address().ip();
    // pip passes over an index that is neither on this machine nor encrypted.
    let (trusted, others) = match ip {
        _ if ip.is_unspecified() => (
            String::new(),
            "  from other machines: with this one's name, which pip needs as --trusted-host too\n",
        ),
        _ if ip.is_loopback() => (String::new(), ""),
        _ => (format!(" --trusted-host {ip}"), ""),
    };
    global.say(&format!(
        "serving {} of `store:{}` at {}\n  \
           pip install --index-url {index}{trusted} NAME\n  \
           uv pip install --index-url {index} NAME\n{others}",
        words::count(site.wheels(), "wheel"),
        site.tag(),
        server.url(),
    ));
    if global.json {
        let (set, wheels) = (site.tag().as_str(), site.wheels());
        let line = serde_json::json!({ "url": index, "set": set, "wheels": wheels });
        output::print(&format!("{line}\n"))?;
    }
    Ok(())
}
