//! How help reads on every verb, and which environment variables count. No verb's own words are here.

use clap::Command;

/// A summary line, what to know and examples that work; then the reference.
const TEMPLATE: &str = "{about}{after-help}\n\n{usage-heading} {usage}\n\n{all-args}";

/// Makes `command` and those below it read alike.
///
/// A variable that is set but empty counts as unset: a Dockerfile that passes its `ARG`s on sets
/// them all. The values of variables are not shown, for a URL may hold a password.
pub(super) fn finish(command: Command) -> Command {
    command
        .help_template(TEMPLATE)
        .mut_args(|arg| {
            let empty =
                arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
            let arg = arg.hide_env_values(true);
            if empty { arg.env(None::<&'static str>) } else { arg }
        })
        .mut_subcommands(finish)
}
