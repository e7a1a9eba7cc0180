#!/bin/sh
# One command from a fresh Debian bookworm to a picture:  sh tools/try.sh "a green banana" [further options of generate]
set -eu
cd "$(dirname "$0")/.."
. tools/packages.sh

prompt=${1:-a green banana}
[ $# -gt 0 ] && shift

# shellcheck disable=SC2086
install_packages $BUILD_PACKAGES
echo "building ..."
cmake -S . -B build -G Ninja -DMZT_TESTS=OFF >/dev/null
ninja -C build --quiet mezzotint-command

# Until a trained model ships, the pipeline is shown with a tiny model of random weights.
if [ ! -e models/sprite/model_index.json ] && [ "${1:-}" != -m ] && [ "${1:-}" != --model ]; then
    ninja -C build --quiet make-model
    rm -rf build/made-up-model
    ./build/tests/tools/make-model tiny build/made-up-model >/dev/null
    echo "no trained model ships yet: this runs a tiny model with made-up weights, so the picture is coloured noise, not '$prompt'"
    set -- -m build/made-up-model "$@"
fi

name=$(printf '%s' "$prompt" | tr -cs 'A-Za-z0-9' '-' | sed 's/^-//; s/-$//' | cut -c1-60)
./build/mezzotint generate -o "${name:-picture}.png" "$@" "$prompt"
