#!/bin/sh
# Manual pages from what the command says of itself:  sh manual.sh COMMAND FOLDER
# FOLDER/mezzotint.1, and mezzotint-NAME.1 for each of its commands.
set -eu
command=$1
folder=$2
mkdir -p "$folder"
version=$("$command" --version | sed -n '1s/[^0-9]*\([0-9.]*\).*/\1/p')

# Text as roff: backslashes, hyphens and control characters at the start of a line lose their meaning.
escape() {
    sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\([.']\)/\\\\\&\1/"
}

# page NAME TITLE FILE: the help text in FILE as it stands, below a name line.
page() {
    printf '.TH %s 1 "" "mezzotint %s" "Mezzotint"\n.SH NAME\n%s\n.SH SYNOPSIS\n.nf\n' \
        "$(echo "$1" | tr '[:lower:]' '[:upper:]' | escape)" "$version" "$(printf '%s \\- %s' "$1" "$2" | sed 's/mezzotint-/mezzotint\\-/')"
    sed -n '1s/^usage: //p' "$3" | escape
    printf '.fi\n.SH DESCRIPTION\n.nf\n'
    sed 1d "$3" | escape
    printf '.fi\n'
}

help=$(mktemp)
trap 'rm -f "$help"' EXIT
"$command" --help >"$help"
names=$(sed -n '/^commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' "$help")
for name in $names; do
    title=$("$command" --help | sed -n "s/^  $name  *//p" | head -n 1)
    "$command" "$name" --help >"$help"
    page "mezzotint-$name" "$title" "$help" >"$folder/mezzotint-$name.1"
done
"$command" --help >"$help"
{
    page mezzotint "text-to-image diffusion on any GPU" "$help"
    printf '.SH "SEE ALSO"\n'
    for name in $names; do printf '.BR mezzotint\\-%s (1)\n' "$name"; done
} >"$folder/mezzotint.1"
