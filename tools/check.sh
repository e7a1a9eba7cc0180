#!/bin/sh
# Installs what the tests need, builds, and runs every test:  sh tools/check.sh
# Fails, rather than skipping, where lavapipe or SwiftShader is missing.
set -eu
cd "$(dirname "$0")/.."
. tools/packages.sh

started=$(date +%s)
step() {
    echo
    echo "== $* ($(($(date +%s) - started)) s)"
}

step "packages"
# shellcheck disable=SC2086
install_packages $BUILD_PACKAGES $TEST_PACKAGES
build=${MZT_CHECK_BUILD:-build-check}
fetch_swiftshader "$build/drivers"
MZT_SWIFTSHADER_ICD=$PWD/$build/drivers/usr/lib/chromium/vk_swiftshader_icd.json
export MZT_SWIFTSHADER_ICD MZT_REQUIRE_DRIVERS=1
XDG_CACHE_HOME=$PWD/$build/cache # pipeline caches of the tests stay out of the user's
export XDG_CACHE_HOME

step "build"
cmake -S . -B "$build/plain" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >"$build/cmake.log"
ninja -C "$build/plain" --quiet

step "tests"
ctest --test-dir "$build/plain" --output-on-failure --timeout 400 -LE slow -j 2

step "tests under AddressSanitizer and UndefinedBehaviorSanitizer"
cmake -S . -B "$build/asan" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DMZT_SANITIZE=address,undefined >"$build/cmake.log"
ninja -C "$build/asan" --quiet
LSAN_OPTIONS=suppressions=$PWD/tests/support/leaks.txt:print_suppressions=0 \
    ctest --test-dir "$build/asan" --output-on-failure --timeout 400 -LE 'slow|device|heavy' -E '^shaders' -j 2

step "threads under ThreadSanitizer"
cmake -S . -B "$build/tsan" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DMZT_SANITIZE=thread >"$build/cmake.log"
ninja -C "$build/tsan" --quiet thread-tests
ctest --test-dir "$build/tsan" --output-on-failure --timeout 300 -L threads

step "fuzzing, briefly"
CC=clang cmake -S . -B "$build/fuzz" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DMZT_FUZZ=ON -DMZT_VULKAN=OFF >"$build/cmake.log"
ninja -C "$build/fuzz" --quiet fuzzers
ctest --test-dir "$build/fuzz" --output-on-failure --timeout 120 -R '^fuzz\.' -j 2

step "done: all passed"
