# Debian packages, for try.sh and check.sh to source. Installs only what is missing; as root, or through sudo.

BUILD_PACKAGES="gcc cmake ninja-build pkg-config libc6-dev libvulkan-dev libvulkan-volk-dev glslang-tools spirv-tools
libpng-dev libcjson-dev libutf8proc-dev zlib1g-dev libdnnl-dev"

# clang and its sanitizer runtime for the fuzz targets; drivers that need no GPU; translators to the other vendors' worlds.
TEST_PACKAGES="libcmocka-dev libopenmpi-dev openmpi-bin clang libclang-rt-14-dev spirv-cross mesa-vulkan-drivers libvulkan1 vulkan-validationlayers
ca-certificates"

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "$0: need root or sudo to run: $*" >&2
        exit 1
    fi
}

# install_packages NAME...: one apt call for all that is missing.
install_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    echo "installing:$missing"
    as_root apt-get update -qq || true # old lists may still do
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# fetch_swiftshader DIR: unpacks SwiftShader, the smallest Vulkan device there is, out of Debian's chromium-common package
# (nothing of the browser is installed). Prints nothing; leaves DIR/usr/lib/chromium/vk_swiftshader_icd.json.
fetch_swiftshader() {
    [ -e "$1/usr/lib/chromium/libvk_swiftshader.so" ] && return 0
    mkdir -p "$1"
    (cd "$1" && { apt-get download -qq chromium-common || { as_root apt-get update -qq && apt-get download -qq chromium-common; }; } &&
        for file in chromium-common_*.deb; do dpkg -x "$file" .; done && rm -f chromium-common_*.deb)
}
