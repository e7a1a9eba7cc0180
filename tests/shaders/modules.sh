#!/bin/sh
# Every module of the build passes spirv-val and can be translated to Metal's language, which is what MoltenVK does inside.
# Usage: modules.sh FOLDER-WITH-SPV-FILES. Exit status 77: spirv-cross is not installed, the rest passed.
set -u
folder=$1
failed=0
count=0
bytes=0
cross=$(command -v spirv-cross || true)
metal=$(mktemp)
trap 'rm -f "$metal"' EXIT

# The manifest, not the folder: old builds leave modules behind.
for module in $(cut -d' ' -f11 "$folder/manifest.txt" | sort -u); do
    count=$((count + 1))
    bytes=$((bytes + $(wc -c <"$folder/$module")))
    if ! spirv-val --target-env vulkan1.2 "$folder/$module"; then
        echo "$module: spirv-val refuses it"
        failed=$((failed + 1))
    fi
    [ -n "$cross" ] || continue
    if ! spirv-cross --msl --msl-version 20200 "$folder/$module" --output "$metal" || ! grep -q '^kernel void' "$metal"; then
        echo "$module: no translation to Metal"
        failed=$((failed + 1))
    fi
done

echo "$count modules, $bytes bytes of SPIR-V, $failed failures"
[ "$count" -gt 0 ] && [ "$failed" -eq 0 ] || exit 1
if [ -z "$cross" ]; then
    echo "skipped: spirv-cross is not installed, nothing was translated to Metal"
    exit 77
fi
