# shellcheck shell=bash
# What the scripts of the platforms share. Exit status 77 is a skip, whose reason is printed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$root/build/platforms
jobs=${JOBS:-2}
paddock=${PADDOCK:-$root/build/release/bin/paddock}
port=$((20000 + $$ % 20000))
mkdir -p "$work"

say() {
    echo "platforms: $*"
}

skip() {
    echo "platforms: SKIPPED: $*" >&2
    exit 77
}

need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || skip "$(basename "$0"): $tool is not installed"
    done
}

# zig NAME-OF-TARGET: makes a C compiler and an archiver for it, in $work/zig/TARGET, from the package ziglang of PyPI.
zig() {
    local python=$work/zig/venv/bin/python
    if [[ ! -x $python ]] || ! "$python" -c 'import ziglang' 2>/dev/null; then
        python3 -m venv "$work/zig/venv" || skip "no Python venv for ziglang"
        "$python" -m pip -q install 'ziglang==0.17.*' || skip "ziglang cannot be had from PyPI"
    fi
    mkdir -p "$work/zig/$1"
    printf '#!/bin/sh\nexec "%s" -m ziglang cc -target %s "$@"\n' "$python" "$1" >"$work/zig/$1/cc"
    printf '#!/bin/sh\nexec "%s" -m ziglang c++ -target %s "$@"\n' "$python" "$1" >"$work/zig/$1/c++"
    printf '#!/bin/sh\nexec "%s" -m ziglang ar "$@"\n' "$python" >"$work/zig/$1/ar"
    printf '#!/bin/sh\nexec "%s" -m ziglang ranlib "$@"\n' "$python" >"$work/zig/$1/ranlib"
    chmod +x "$work/zig/$1"/*
}

# build NAME CMAKE-OPTION...: configures and builds the library with its tests into $work/NAME.
build() {
    local name=$1
    shift
    say "building for $name"
    cmake -S "$root/tests/platforms" -B "$work/$name" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        "-DCMAKE_RUNTIME_OUTPUT_DIRECTORY=$work/$name/bin" "$@" >"$work/$name.log" || {
        cat "$work/$name.log"
        return 1
    }
    cmake --build "$work/$name" -j "$jobs" >"$work/$name.log" || {
        grep -v '^\[[0-9]*/[0-9]*\] [BL]' "$work/$name.log"
        return 1
    }
}

run_tests() {
    say "running the tests of $1"
    ctest --test-dir "$work/$1" --output-on-failure -j "$jobs" >"$work/$1.log" || {
        cat "$work/$1.log"
        return 1
    }
    grep -h '% tests passed' "$work/$1.log"
}

# The names that a shared library exports, one a line.
exported_elf() {
    nm -D --defined-only "$1" | awk '$2 != "A" {print $3}' | sed 's/@.*//' | sort -u
}

declared() {
    sed -n 's/^QCMP_EXPORT .*[ *]\(qcmp_[a-z0-9_]*\)(.*/\1/p' "$root"/include/qcmp/*.h | sort -u
}

same_names() {
    local what=$1
    shift
    diff <(declared) <("$@") || {
        echo "platforms: $what does not export what the headers declare" >&2
        return 1
    }
    say "$what exports the $(declared | wc -l) functions of the headers"
}

# ping PROGRAM...: 200 pings each over IPv4 and IPv6 to a responder of our own on loopback.
ping() {
    local pid status=0 address
    [[ -x $paddock ]] || skip "no responder at $paddock; make builds it"
    "$paddock" --service.qcmp --service.qcmp.port "$port" --admin.enabled false --user root -q &
    pid=$!
    for _ in $(seq 100); do
        "$paddock" ping -a 1 -t 100ms "127.0.0.1:$port" >/dev/null 2>&1 && break
        sleep 0.1
    done
    for address in 127.0.0.1 '[::1]'; do
        [[ $address != '[::1]' || -e /proc/net/if_inet6 ]] || continue
        "$@" "$address:$port" 200 || status=1
    done
    kill "$pid"
    wait "$pid" || true
    return "$status"
}
