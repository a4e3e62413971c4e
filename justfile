# `just` lists what there is.
_list:
    @just --list --unsorted

# All that must hold before a change is merged; needs no just itself.
ci:
    .ci/run

# The tests.
test *ARGS:
    cargo test {{ARGS}}

# Formatting and lints, as CI judges them.
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings

# Formats the source.
fmt:
    cargo fmt

# The library's documentation.
doc:
    RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps

# One small real run against the default index.
smoke:
    tests/smoke.sh

# Licences, sources and duplicate versions of the dependencies (needs cargo-deny).
deny:
    cargo deny check

# Side by side with pip and uv (see benches/README.md).
versus WHAT *ARGS:
    cargo build --release
    benches/versus/{{WHAT}}.sh {{ARGS}}
