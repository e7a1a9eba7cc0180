#!/bin/sh
# Installs the libraries into an empty folder and builds the ten-line example against them by pkg-config (shared and
# static) and by find_package; with a third argument, by add_subdirectory too. Each one must make the same picture.
#   sh consumer.sh SOURCE_DIR BINARY_DIR [subdirectory]
set -eu
source=$1
build=$2
work=$build/consumer-test
rm -rf "$work"
mkdir -p "$work"
example=$source/tools/example-ten-lines.c
cmake --install "$build" --component libraries --prefix "$work/usr" >"$work/install.log"
"$build/tests/tools/make-model" tiny "$work/model"
libraries=$(dirname "$(find "$work/usr" -name libmezzotint.a)")
export PKG_CONFIG_PATH="$libraries/pkgconfig"
# CMake 3.25 writes the prefix of configuring into the file: pkg-config is told the new one.
flags="--define-variable=prefix=$work/usr"

make_picture() {
    "$2" "$work/model" "a red apple" "$work/$1.png"
    cmp "$work/$1.png" "$work/shared.png"
    echo "$1: ok"
}

# shellcheck disable=SC2046
${CC:-cc} -std=c11 "$example" $(pkg-config $flags --cflags --libs mezzotint) -Wl,-rpath,"$libraries" -o "$work/shared"
make_picture shared "$work/shared"
readelf -d "$work/shared" | grep -q 'libmezzotint.so.1' || { echo "not linked to libmezzotint.so.1"; exit 1; }
mkdir "$work/archives"
cp "$libraries"/*.a "$work/archives" # where no shared library stands beside it
# shellcheck disable=SC2046
${CC:-cc} -std=c11 "$example" $(pkg-config $flags --cflags mezzotint) -L"$work/archives" \
    $(pkg-config $flags --static --libs mezzotint | sed "s|-L$libraries||") -o "$work/static"
make_picture static "$work/static"
cmake -S "$source/tests/install" -B "$work/package" -DEXAMPLE="$example" -DCMAKE_PREFIX_PATH="$work/usr" >"$work/package.log"
cmake --build "$work/package" >>"$work/package.log"
make_picture find_package "$work/package/consumer-mezzotint"
make_picture find_package-static "$work/package/consumer-static"
# A compiled model: the small runtime's pixels are the full library's.
"$build/mezzotint" compile "$work/model" --steps 4 -o "$work/model.plan"
for library in mezzotint mezzotint-runtime; do
    # shellcheck disable=SC2046
    ${CC:-cc} -std=c11 "$source/tests/install/compiled.c" $(pkg-config $flags --cflags --libs $library) \
        -Wl,-rpath,"$libraries" -o "$work/compiled-$library"
    "$work/compiled-$library" "$work/model.plan" "$work/$library.rgba"
done
cmp "$work/mezzotint.rgba" "$work/mezzotint-runtime.rgba"
if ldd "$work/compiled-mezzotint-runtime" | grep -E 'png|cjson|dnnl|libz'; then
    echo "the small runtime needs what it should not"
    exit 1
fi
# shellcheck disable=SC2046
${CC:-cc} -std=c11 "$source/tests/install/compiled.c" $(pkg-config $flags --cflags mezzotint-runtime) -L"$work/archives" \
    $(pkg-config $flags --static --libs mezzotint-runtime | sed "s|-L$libraries||") -o "$work/compiled-static"
"$work/compiled-static" "$work/model.plan" "$work/static.rgba"
cmp "$work/mezzotint.rgba" "$work/static.rgba"
if "$work/compiled-mezzotint-runtime" "$work/model" "$work/none.rgba" 2>"$work/refused.txt"; then
    echo "the small runtime opened a checkpoint"
    exit 1
fi
echo "compiled: ok"
[ $# -ge 3 ] || exit 0
cmake -S "$source/tests/install" -B "$work/subdirectory" -DEXAMPLE="$example" -DMEZZOTINT_SOURCE="$source" >"$work/subdirectory.log"
cmake --build "$work/subdirectory" --target consumer-mezzotint -j 2 >>"$work/subdirectory.log"
make_picture add_subdirectory "$work/subdirectory/consumer-mezzotint"
