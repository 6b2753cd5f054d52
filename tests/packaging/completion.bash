# shellcheck shell=bash
# completion.bash FILE PADDOCK WORD...: prints what the bash completion in FILE offers for the last WORD behind PADDOCK.
# shellcheck source=/dev/null
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_paddock
printf '%s\n' "${COMPREPLY[@]}"
