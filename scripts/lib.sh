# shellcheck shell=bash
# Shared by the scripts of this folder, which source it: it goes to the project's root, finds uv (or puts one under
# .cache/), and makes the locked environment. Nothing outside the project is changed, except that a root user on a
# Debian-like machine gets from the system's packages: pip, where there is none, and for the tests Dovecot, Node and Chromium.
#
# Why not "pip install --user uv": Debian's Python refuses that (PEP 668) and may lack ensurepip, so that a venv cannot
# be made either. "pip install --target" is refused by nobody, needs no venv, and leaves the user's machine alone.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT" || exit 1
unset VIRTUAL_ENV # another project's environment, active in the caller's shell, is none of ours

UV_VERSION=0.13.8 # what is installed where there is none; what is there already may be older, down to UV_OLDEST
UV_OLDEST_MINOR=5 # 0.5: the oldest that pyproject.toml (tool.uv.required-version) accepts
PRIVATE_UV="$ROOT/.cache/uv-$UV_VERSION"
UV=""

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $1"
  shift
  local line
  for line in "$@"; do say "  $line"; done
  exit 1
}

# uv_works PATH: it starts and is new enough. (A shim of a version manager may exist and yet not start.)
uv_works() {
  local version major rest
  version="$("$1" --version 2>/dev/null </dev/null)" || return 1
  version="${version#uv }"
  major="${version%%.*}"
  rest="${version#*.}"
  [[ "$major" =~ ^[0-9]+$ && "${rest%%.*}" =~ ^[0-9]+$ ]] || return 1
  ((major > 0 || ${rest%%.*} >= UV_OLDEST_MINOR))
}

find_uv() {
  local candidate
  for candidate in "$(command -v uv 2>/dev/null)" "$PRIVATE_UV/bin/uv" "${HOME:-}/.local/bin/uv" "${HOME:-}/.cargo/bin/uv"; do
    if [[ -n "$candidate" && -x "$candidate" ]] && uv_works "$candidate"; then
      UV="$candidate"
      return 0
    fi
  done
  return 1
}

# Any Python that runs a current pip will do here: uv then finds, or fetches, the one that the project needs.
find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1 </dev/null; then
      PYTHON="$candidate"
      return 0
    fi
  done
  return 1
}

install_uv_with_pip() {
  "$1" -m pip --version >/dev/null 2>&1 </dev/null || return 1
  PIP_ROOT_USER_ACTION=ignore "$1" -m pip install --quiet --disable-pip-version-check --no-input --upgrade \
    --target "$PRIVATE_UV" "uv==$UV_VERSION" >&2 </dev/null
}

install_uv_with_venv() {
  local seed="$ROOT/.cache/pip"
  rm -rf "$seed"
  "$1" -m venv "$seed" >/dev/null 2>&1 </dev/null || return 1
  install_uv_with_pip "$seed/bin/python"
}

install_uv_with_apt() {
  [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null || return 1
  say "installing pip from the system's packages"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-pip; } >&2 </dev/null || return 1
  find_python && install_uv_with_pip "$PYTHON"
}

# install_for_tests PACKAGE WHY: from the system's packages, where that may be done. What needs it skips without it.
install_for_tests() {
  [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null || return 0
  say "installing $1 from the system's packages, for $2"
  export DEBIAN_FRONTEND=noninteractive
  { timeout 120 apt-get update -qq && timeout 300 apt-get install -y -qq --no-install-recommends "$1"; } \
    >/dev/null 2>&1 </dev/null || say "it could not be installed: that will be skipped"
}

# The IMAP server that the tests of email.fetch talk to.
ensure_mail_server() {
  [[ -x /usr/sbin/dovecot ]] || install_for_tests dovecot-imapd "the tests of email.fetch"
}

# What the tests of the console look at it with. Without Node there is no console to look at.
ensure_browser() {
  console_node || return 0
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
    install_for_tests chromium "the tests of the console in a browser"
}

# What the CDK runs in.
ensure_node() {
  command -v node >/dev/null || install_for_tests nodejs "the synthesis of the stacks and its tests"
}

# console_node: there is a Node that builds the console, and npm. (Vite 8 runs on 20.19, 22.12 and later.)
console_node() {
  command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split(".").map(Number);
    process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' >/dev/null 2>&1
}

# ensure_uv: afterwards $UV starts.
ensure_uv() {
  # Without a home that can be written to, uv would have nowhere to keep its downloads.
  [[ -n "${HOME:-}" && -w "${HOME:-}" ]] || export UV_CACHE_DIR="${UV_CACHE_DIR:-$ROOT/.cache/uv}"
  # uv brings its own list of certificates, which lacks those that an administrator has added to the system's: use
  # the system's where there is one.
  if [[ -s /etc/ssl/certs/ca-certificates.crt || -s /etc/pki/tls/certs/ca-bundle.crt || "$(uname)" == Darwin ]]; then
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
  fi
  find_uv && return 0
  say "uv not found: installing $UV_VERSION into ${PRIVATE_UV#"$ROOT"/}"
  mkdir -p "$ROOT/.cache"
  if find_python; then
    install_uv_with_pip "$PYTHON" || install_uv_with_venv "$PYTHON" || install_uv_with_apt || true
  else
    install_uv_with_apt || true
  fi
  find_uv && return 0
  die "uv could not be installed" \
    "What is needed: network access to the Python package index, and Python with pip or venv" \
    "(Debian, Ubuntu: apt install python3-pip)." \
    "Or install uv yourself (pipx install uv, brew install uv) and run this again."
}

# ensure_environment ARGS...: the locked packages are in .venv; ARGS go to "uv sync". Offline when nothing is missing.
ensure_environment() {
  ensure_uv
  "$UV" sync --locked --quiet "$@" </dev/null || die "the environment could not be made from uv.lock" \
    "'lockfile needs to be updated': run 'uv lock' and commit uv.lock with your change of pyproject.toml." \
    "'No interpreter found': install Python 3.11 or newer (Debian, Ubuntu: apt install python3)." \
    "Anything about the network: the Python package index has to be within reach the first time."
  BIN="${UV_PROJECT_ENVIRONMENT:-$ROOT/.venv}/bin"
}
