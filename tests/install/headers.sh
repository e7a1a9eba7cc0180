#!/bin/sh
# Every public header compiles alone, without a warning, as C99, C11 and C++17.
#   sh headers.sh SOURCE_DIR
set -eu
for header in "$1"/runtime/include/*.h; do
    for compiler in gcc clang; do
        command -v $compiler >/dev/null || continue
        for language in "c -std=c99" "c -std=c11" "c++ -std=c++17"; do
            # shellcheck disable=SC2086
            echo "#include \"$(basename "$header")\"" |
                $compiler -x $language -Wall -Wextra -Wshadow -Werror -pedantic -I"$1/runtime/include" -fsyntax-only -
        done
    done
done
