#!/bin/sh
# Create .venv and install this project into it, editable and pinned: sh scripts/setup.sh [lm|dev|docs]
# Does nothing when that is done already. PYTHON=... chooses the interpreter.
set -u
cd "$(dirname "$0")/.." || exit 1

extra=${1:-}
venv=.venv
log=$venv/install.log
ready=$venv/.ready                    # holds our path; absent while anything is half-made
stamp=$venv/.installed-${extra:-base} # holds the checksum of what was installed
want=$(cat pyproject.toml constraints.txt | cksum)

say() { echo "==> $*"; }
fail() { echo "error: $*" >&2; exit 1; }
trap 'echo; fail "interrupted; run the same command again"' INT TERM

identity() { # INTERPRETER -> its version and where it really lives
    "$1" -c 'import sys; print("%d.%d %s" % (sys.version_info[:2] + (getattr(sys, "base_prefix", ""),)))' 2>/dev/null
}
new_enough() { # VERSION, as 3.12
    case $1 in 3.[0-9]*) [ "${1#3.}" -ge 11 ] 2>/dev/null ;; *) false ;; esac
}

# -> $python, $version: the first interpreter that runs, is new enough and can create environments. Plain python3
# comes first: it is the one its owner chose. A name on the PATH proves nothing: version managers leave dead shims.
find_python() {
    seen=
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.14 python3.13 python3.12 python3.11; fi
    for name; do
        command -v "$name" >/dev/null || { seen="$seen, no $name"; continue; }
        version=$(identity "$name") || { seen="$seen, $name does not run"; continue; }
        version=${version#Python }
        version=$(echo "${version%% *}" | cut -d . -f 1,2)
        new_enough "$version" || { seen="$seen, $name is ${version:-of unknown version}"; continue; }
        python=$("$name" -c 'import sys, venv, ensurepip; print(sys._base_executable)' 2>/dev/null) && return
        seen="$seen, $name cannot create environments (Debian, Ubuntu: apt install python$version-venv)"
    done
    fail "no usable Python >= 3.11 (${seen#, }); install one, or name one: make TARGET PYTHON=/path/to/python3.12"
}

intact() {
    [ -f $ready ] && [ "$(cat $ready)" = "$PWD" ] && found=$(identity $venv/bin/python) || return 1
    new_enough "${found%% *}" && { [ -z "${PYTHON:-}" ] || [ "$found" = "$(identity "$PYTHON")" ]; }
}

need_disk() { # GIGABYTES
    free=$(df -Pk . 2>/dev/null | awk 'END { print $(NF-2) }')
    case $free in '' | *[!0-9]*) return ;; esac
    [ "$free" -ge $(($1 * 1048576)) ] || fail "not enough disk space: $((free / 1024)) MB free in $PWD and" \
        "$1 GB needed; free some, or move the clone to a larger disk"
}

# pip's progress goes to the screen; its warnings and errors go to the log and become one line of ours.
pip_install() {
    rm -f $ready
    { errors=$(PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        $venv/bin/python -m pip install -c constraints.txt "$@" 2>&1 >&3); } 3>&1 && { echo "$PWD" >$ready; return; }
    code=$?
    echo "$errors" 2>/dev/null >$log
    told() { echo "$errors" | grep -qE "$1"; }
    if told 'No space left|Errno 28|[Qq]uota exceeded'; then
        fail "the disk became full; free 4 GB in $PWD and in ${TMPDIR:-/tmp} (or set TMPDIR) and run the same command again"
    fi
    [ $code -lt 128 ] && echo "$PWD" >$ready # pip ended by itself and left nothing half-installed
    if told 'Retrying|[Cc]onnection|timed out|[Tt]imeout|name resolution|Could not fetch|unreachable|SSLError|ProxyError'; then
        fail "pip cannot reach its package index; check network, proxy and PIP_INDEX_URL and run the same command again (log: $log)"
    fi
    reason=$(echo "$errors" | sed -n 's/^ERROR: //p' | head -n 1 | cut -c -300 | sed 's/\.$//')
    if told 'No matching distribution|ResolutionImpossible'; then
        fail "the package index lacks what constraints.txt asks for on $($venv/bin/python -V): $reason;" \
            "try another interpreter (make TARGET PYTHON=python3.12) or index (PIP_INDEX_URL)"
    fi
    fail "pip failed with exit code $code: ${reason:-see the log} (log: $log)"
}

if ! intact; then
    find_python
    [ -e $venv ] && say "this .venv is half-made, moved, or of another Python: making it anew" && rm -rf $venv
    need_disk 4
    say "creating .venv with Python $version ($python)"
    why=$( (mkdir -p $venv && "$python" -m venv $venv) 2>&1) && echo "$PWD" >$ready ||
        fail "cannot create $PWD/$venv: $(echo "$why" | tail -n 1)"
fi

if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
    if [ -e $venv/.installed-base ]; then need_disk 1; else need_disk 4; fi
    say "checking the package index"
    case $extra in lm) small=setuptools ;; dev) small="setuptools pytest" ;; docs) small=mkdocs ;; *) small= ;; esac
    pip_install --quiet --retries 1 --timeout 8 hatchling editables $small # fails within seconds without a network
    say "installing moefm${extra:+[$extra]} (the first time: one to several minutes, torch is large)"
    pip_install --no-build-isolation -e ".${extra:+[$extra]}"
    echo "$want" | tee $venv/.installed-base >"$stamp"
fi
