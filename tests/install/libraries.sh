#!/bin/sh
# The libraries as binaries: exported are the functions of the headers and nothing else, none has a writable global, and
# they are as small as promised.
#   sh libraries.sh SOURCE_DIR BINARY_DIR
set -eu
source=$1
build=$2
bad=0
fail() {
    echo "$*"
    bad=1
}

# What the headers declare, by the compiler's own preprocessor.
declared() {
    for header in "$source"/runtime/include/*.h; do
        ${CC:-cc} -E -P -I"$source/runtime/include" "$header"
    done | tr '\n' ' ' | grep -o '__attribute__((visibility("default"))) [^;(]*(' | grep -o 'mzt_[a-z0-9_]*($' | tr -d '(' | sort -u
}
exported() {
    nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}
declared >"$build/declared.txt"
diff "$build/declared.txt" "$source/src/api/symbols.txt" || fail "src/api/symbols.txt is not what the headers declare"
exported "$build/lib/libmezzotint.so" | diff - "$source/src/api/symbols.txt" || fail "libmezzotint.so exports something else"
readelf -d "$build/lib/libmezzotint.so" | grep -q 'SONAME.*\[libmezzotint.so.1\]' || fail "libmezzotint.so has another SONAME"
if [ -e "$build/lib/libmezzotint-runtime.so" ]; then
    exported "$build/lib/libmezzotint-runtime.so" | diff - "$source/src/api/symbols.txt" ||
        fail "libmezzotint-runtime.so exports something else"
fi

# size FILE LIMIT: bytes without symbols.
size() {
    [ -e "$1" ] || return 0
    strip -o "$build/stripped" "$1"
    bytes=$(stat -c %s "$build/stripped")
    echo "$(basename "$1"): $bytes bytes stripped, at most $2"
    [ "$bytes" -le "$2" ] || fail "$1 is too large"
}
size "$build/lib/libmezzotint.so" $((3 * 1024 * 1024))
size "$build/lib/libmezzotint-runtime.so" $((1024 * 1024))

# Objects in writable sections: .data, .bss and their like; .data.rel.ro is made read-only before any code runs.
for library in "$build"/lib/libmezzotint*.a; do
    writable=$(objdump -t "$library" | awk '/ O / && $0 ~ / (\.data|\.bss|\.tdata|\.tbss|\.data\.rel|\.data\.rel\.local|\*COM\*)(\.[a-z_0-9]+)*\t/ && $0 !~ /\.data\.rel\.ro/ { print $NF }')
    [ -z "$writable" ] || fail "$(basename "$library") has writable globals: $writable"
done
exit $bad
