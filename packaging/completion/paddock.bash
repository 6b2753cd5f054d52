# shellcheck shell=bash
# bash completion for paddock. Options and commands come from the --help of the very program that is being completed, so they are never another version's.

# The long options and letters in the help of a command line.
_paddock_options() {
    "$@" --help 2>/dev/null | sed -nE 's/^ {2}(-[^-], |    )(--[a-z0-9.-]+).*/\1\n\2/p' | grep -oE -- '-[^ ,]+'
}

# The commands in the help, a word or two each.
_paddock_commands() {
    "$1" --help 2>/dev/null | sed -nE '/^Commands:/,$ s/^ {2}([a-z][a-z -]*[a-z]).*/\1/p'
}

# Completes the value of an option; fails where the word is no value.
_paddock_value() {
    local word=$2
    case $1 in
    --log-format) mapfile -t COMPREPLY < <(compgen -W 'auto json plain pretty' -- "$word") ;;
    --xdp) mapfile -t COMPREPLY < <(compgen -W 'auto off on' -- "$word") ;;
    --xdp-attach) mapfile -t COMPREPLY < <(compgen -W 'generic native' -- "$word") ;;
    --arrivals) mapfile -t COMPREPLY < <(compgen -W 'constant poisson' -- "$word") ;;
    --pid) mapfile -t COMPREPLY < <(compgen -W "$(ps -eo pid=)" -- "$word") ;;
    --format | --report) mapfile -t COMPREPLY < <(compgen -W 'human json' -- "$word") ;;
    --distribution | --up-distribution | --down-distribution)
        mapfile -t COMPREPLY < <(compgen -W 'uniform normal pareto' -- "$word")
        ;;
    --via) mapfile -t COMPREPLY < <(compgen -W 'sockets xdp' -- "$word") ;;
    --interface | --service.udp.xdp.network-interface) # the latter takes several, with commas
        mapfile -t COMPREPLY < <(cd /sys/class/net && compgen -P "${word%"${word##*,}"}" -W "$(echo *)" -- "${word##*,}")
        ;;
    --sort) mapfile -t COMPREPLY < <(compgen -W 'idle age packets bytes' -- "$word") ;;
    --config | -c | --provider.fs.path | --*.tls.*-path)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames 2>/dev/null # quotes blanks, and puts a slash behind a folder
        ;;
    --sys.log.dir | --output-directory | -o)
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        compopt -o filenames 2>/dev/null
        ;;
    --user) mapfile -t COMPREPLY < <(compgen -u -- "$word") ;;
    *) return 1 ;;
    esac
}

# Prints the words of the command on the line: the longest, as one may end with another. None if it is incomplete.
_paddock_command() {
    local line=" ${COMP_WORDS[*]:1:COMP_CWORD-1} " command longest=
    while read -r command; do
        [[ $line == *" $command "* && ${#command} -gt ${#longest} ]] && longest=$command
    done < <(_paddock_commands "${COMP_WORDS[0]}")
    echo "$longest"
}

_paddock() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} command words
    COMPREPLY=()
    # What stands behind --option= is words of their own, unless COMP_WORDBREAKS has no equals sign.
    if [[ $word == '=' ]]; then
        word=
    elif [[ $before == '=' && $COMP_CWORD -ge 2 ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $word == --*=* ]]; then
        _paddock_value "${word%%=*}" "${word#*=}"
        COMPREPLY=("${COMPREPLY[@]/#/${word%%=*}=}")
        return
    fi
    _paddock_value "$before" "$word" && return
    read -ra command < <(_paddock_command)
    if [[ $word == -* ]]; then
        words=$(_paddock_options "$program" "${command[@]}")
    elif [[ ${#command[@]} -eq 0 ]]; then
        # The second word of a command of two only where the first stands before it.
        words=$(_paddock_commands "$program" | awk -v before="$before" 'NF == 2 && $1 == before {print $2; found = 1}
            {first[$1]} END {if (!found) for (word in first) print word}')
    elif [[ ${command[-1]} == ping || ${command[-1]} == load ]]; then
        words=$(compgen -A hostname)
    elif [[ ${command[-1]} == sites ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames 2>/dev/null
        return
    else
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -o nosort -F _paddock paddock
