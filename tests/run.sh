#!/usr/bin/env bash
# Installs what the tests need and runs everything that must hold before a change is sent. Stops at the first step that fails.
# Each step's output is in target/steps/NAME.log; a step that fails shows the end of it.
set -euo pipefail
cd "$(dirname "$0")/.."

LOGS=target/steps
SHOWN_ON_FAILURE=60
SHOWN_OF_A_TEST=20
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUSTDOCFLAGS='-D warnings'
WARDCAST=target/release/wardcast
LOADTEST=target/release/loadtest

passed=0
failed=0
mkdir -p "$LOGS"
rm -f "$LOGS"/*.log

# step NAME COMMAND…: runs it, says how long it took. Counts the tests that it ran, or itself as one.
step() {
    local name=$1 began=$SECONDS log status=0 tests
    log=$LOGS/${name// /-}.log
    shift
    printf '%-28s' "$name"
    "$@" >"$log" 2>&1 || status=$?
    printf '%4d s  ' $((SECONDS - began))
    tests=$(sum passed "$log")
    if [ "$status" = 0 ]; then
        passed=$((passed + (tests > 0 ? tests : 1)))
        [ "$tests" = 0 ] && echo ok || echo "ok, $tests tests"
        return
    fi
    passed=$((passed + tests))
    tests=$(sum failed "$log")
    failed=$((failed + (tests > 0 ? tests : 1)))
    echo FAILED
    # With --no-fail-fast, what failed may stand far above the end.
    grep -A "$SHOWN_OF_A_TEST" '^---- .* stdout ----$' "$log" | head -n "$SHOWN_ON_FAILURE" || true
    tail -n "$SHOWN_ON_FAILURE" "$log"
    echo "step '$name' failed with status $status; all of its output: $log"
    summary
    exit 1
}

# sum passed|failed LOG: over all "test result: ok. 12 passed; 0 failed; …" lines.
sum() { { grep -oE "^test result: .*" "$2" | grep -oE "[0-9]+ $1" || true; } | awk '{ n += $1 } END { print n + 0 }'; }

summary() { echo "$passed passed, $failed failed, in $((SECONDS / 60)) min $((SECONDS % 60)) s"; }

# The last line of a run with --json is its summary; it must say that all went well.
says_ok() {
    local output
    output=$(mktemp "$LOGS/json.XXXXXX")
    "$@" | tee "$output"
    tail -n 1 "$output" | grep -q '"ok": *true'
}

# The release that is being built: what it printed, when it is done.
built_release() {
    local status=0
    wait "$release" || status=$?
    trap - EXIT
    cat "$LOGS/release.log"
    return "$status"
}

step install tests/install.sh
# Beside what follows: our library is one unit of code in a release, which one processor compiles for minutes. The benches are built with
# it, and run for the whole workspace further down: for one package alone dependencies have other features, and it is compiled anew.
# A group of processes of its own, so that its compilers end with it where a step fails.
set -m
cargo build --workspace --release --bins --benches --locked >"$LOGS/release.log" 2>&1 </dev/null &
release=$!
set +m
trap 'kill -- "-$release" 2>/dev/null || true; wait "$release" 2>/dev/null || true' EXIT
step format cargo fmt --all --check
step clippy cargo clippy --workspace --all-targets --locked -- -D warnings
step 'clippy without traces' cargo clippy --package wardcast --lib --bins --no-default-features --locked -- -D warnings
step rustdoc cargo doc --workspace --no-deps --locked
step 'licences and duplicates' cargo deny --offline --workspace --config .deny.toml check licenses bans sources
step 'build tests' cargo test --workspace --locked --no-run
step 'build release' built_release
step tests cargo test --workspace --locked --no-fail-fast
step demo says_ok "$WARDCAST" demo --json
step 'demo on SoftHSM' says_ok "$WARDCAST" demo --members 50 --token pkcs11 --json
step 'small load' says_ok "$LOADTEST" fanout --members 200 --rounds 3 --json
step 'small load, two sizes' says_ok "$LOADTEST" fanout --members 50,100 --rounds 3 --report "$LOGS/fanout.html" --json
step 'small load of parked members' says_ok "$LOADTEST" parked --members 100 --rekeys 2 --json
step 'small load by multicast' says_ok "$LOADTEST" multicast --members 5,50 --rounds 1 --rekeys 8 --json
step 'small load beside peers' says_ok "$LOADTEST" peers --members 100 --rounds 2 --json
step 'small load on two sockets' says_ok "$LOADTEST" cores --members 200 --rounds 3 --json
step 'small load, some stalled' says_ok "$LOADTEST" slow --members 100 --seconds 2 --turns 1 --json
step 'small load under attack' says_ok "$LOADTEST" flood --members 100 --seconds 2 --turns 1 --json
step 'small storm of joins' says_ok "$LOADTEST" storm --members 100 --rounds 1 --json
step 'small churn' says_ok "$LOADTEST" churn --members 100 --seconds 3 --json
step 'small soak' says_ok "$LOADTEST" soak --members 50 --seconds 12 --json
step 'small load under operation' says_ok "$LOADTEST" operate --members 50 --seconds 2 --json
step benches cargo bench --workspace --locked --benches -- --max-time 0.2
step 'counts of a rekey' cargo bench --workspace --locked --bench rekey -- --figures
step 'KMIP beside others' cargo bench --workspace --locked --bench kmip -- --figures
step fuzz tests/fuzz/run
summary
