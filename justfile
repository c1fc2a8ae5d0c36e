# The few commands one types all day. `just` alone lists them.
default:
    @just --list --unsorted

# Everything that must hold before a change is taken
ci:
    .ci/run

# Format and lint
check:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# The tests, installing what they need; arguments go to cargo test
test *ARGS:
    tests/run {{ARGS}}

# Run the CLI: just run run --rm host echo hi
run *ARGS:
    cargo run --release -- {{ARGS}}

# The documentation, as docs.rs would build it
doc:
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --open

# The table of ratios against other engines
bench *ARGS:
    cargo bench {{ARGS}}

# Licences, bans, sources, and advisories (fetches their database)
deny:
    cargo deny check
