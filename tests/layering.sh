#!/bin/sh
# Dependencies point one way. Fails naming the line that does not.
#   sh tests/layering.sh SOURCE_DIR
set -eu
cd "$1"
bad=0
# forbid FOLDER PATTERN WHY: no file in FOLDER may include what PATTERN matches.
forbid() {
    if found=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[\"<]($2)" $1 --include='*.c' --include='*.h'); then
        echo "$found" | sed "s|\$|  <- $3|"
        bad=1
    fi
}
forbid runtime '(graph|model|text|weights|sample|image|pipeline|json|api)/' "runtime includes nothing of src"
# src/api/vulkan.c is the public door to a host's own device.
not_api=$(find src -mindepth 1 -maxdepth 1 -type d ! -name api)
forbid "runtime/base runtime/plan runtime/cpu tools/command tools/build $(echo $not_api) $(echo src/api/[!v]*.[ch])" \
    '(vulkan|volk)' "only runtime/vulkan knows Vulkan"
forbid "runtime/cpu" 'vulkan/' "executors do not see each other"
forbid "runtime/vulkan" 'cpu/' "executors do not see each other"
forbid "src/graph" '(model|text|weights|sample|image|pipeline|json|api)/' "the graph stands on the plan only"
forbid "src/graph src/model src/text src/sample src/image src/weights" '(vulkan|cpu)/' "nothing above the runtime knows the device"
forbid "src/text src/image src/weights src/sample" '(graph|model|pipeline|api)/' "these stand on base and json only"
forbid "src/model" '(pipeline|api)/' "models only describe"
forbid "src tools runtime/base runtime/plan runtime/vulkan" 'dnnl' "oneDNN belongs in runtime/cpu"
if grep -rnE '#[[:space:]]*include[[:space:]]*[<"]png' runtime src tools --include='*.[ch]' | grep -v '^src/image/'; then
    echo "libpng belongs in src/image"
    bad=1
fi
# Library code never prints, exits or aborts.
if grep -rnE '\b(printf|fprintf\(std|puts|abort|exit|perror|assert)\(' runtime src --include='*.c' |
    grep -vE 'snprintf|static_assert|//|^\S+: \*|runtime/base/error' | grep -E '[^a-z_]((f)?printf|puts|abort|exit|perror|assert)\('; then
    echo "library code must not print, exit or abort"
    bad=1
fi
# Files hold one idea.
find runtime src shaders tools tests \( -name '*.c' -o -name '*.h' -o -name '*.comp' -o -name '*.glsl' \) -exec wc -l {} + |
    awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines, more than 600"; bad = 1 } END { exit bad }' || bad=1
exit $bad
