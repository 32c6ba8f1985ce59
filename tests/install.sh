#!/usr/bin/env bash
# Installs what the tests need besides the Rust toolchain: Debian packages, Python packages (in target/venv), cargo-deny, and
# a PKCS#11 3.2 token (in target/kryoptic).
# Safe to run again: what is there already is left alone. Needs root or sudo only when a Debian package is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(
    build-essential                              # the C compiler that bundled C code is built with
    softhsm2                                     # a PKCS#11 2.40 token,
    opensc                                       # a tool that initialises any,
    libclang-dev libsqlite3-dev pkg-config perl  # and what kryoptic, a PKCS#11 3.2 token, is built with
    gstreamer1.0-plugins-base                    # the tone,
    gstreamer1.0-plugins-good                    # RTP and UDP,
    gstreamer1.0-plugins-bad                     # SRTP
    python3-gi gir1.2-gstreamer-1.0              # and GStreamer from Python
    python3-venv                                 # the Python member's packages
    valgrind                                     # callgrind counts what a rekey costs
    nats-server mosquitto etcd-server            # what pushes are measured beside; runs start their own, on loopback
    iproute2 nftables                            # network namespaces, and what is lost between them; root alone may make them
    slapd                                        # a directory; tests run their own
    rsyslog rsyslog-openssl                      # a log server that takes TLS; tests run their own
    prometheus                                   # scrapes a gateway; tests start their own, and its service does not run without systemd
    mandoc zsh fish                              # readers of manual pages and of completions
    chromium chromium-driver fonts-dejavu-core   # the operators' page in a browser,
    libnss3-tools openssl                        # and whom that trusts, and as whom it comes
    systemd python3-seccomp                      # judges the units, and runs them under their system calls
    curl                                         # asks a gateway in one of them for its metrics
)
VENV=target/venv
REQUIREMENTS=tests/python/requirements.txt
DENY=cargo-deny@0.20.2

say() { printf 'install: %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "cannot run '$*': be root, or install sudo" >&2
        return 1
    fi
}

installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

debian_packages() {
    local missing=()
    for package in "${PACKAGES[@]}"; do
        installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} = 0 ]; then
        say "Debian packages are there"
        return
    fi
    command -v apt-get >/dev/null || { say "no apt-get here; install by hand: ${missing[*]}" >&2; return 1; }
    say "Debian packages: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

python_packages() {
    local wanted
    wanted=$(sha256sum "$REQUIREMENTS")
    if [ "$(cat "$VENV/installed" 2>/dev/null)" = "$wanted" ]; then
        say "Python packages are there"
        return
    fi
    say "Python packages: $VENV"
    /usr/bin/python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check --requirement "$REQUIREMENTS"
    echo "$wanted" >"$VENV/installed"
}

cargo_deny() {
    if command -v cargo-deny >/dev/null; then
        say "cargo-deny is there"
        return
    fi
    say "cargo-deny: building it takes a few minutes"
    # It looks at licences once: what it is built with matters more than how fast it runs.
    cargo install --quiet --locked --debug "$DENY"
}

debian_packages
python_packages
cargo_deny
tests/kryoptic/build
# For all platforms, so that the licence check needs no network.
cargo fetch --quiet --locked
