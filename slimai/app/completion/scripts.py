"""What a shell is told, once, so that it asks slimai for the words that may follow."""

from __future__ import annotations

BASH = """\
_slimai_complete() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" slimai -sc query=bash 2>/dev/null))
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.,[] ]]; then compopt -o nospace; fi
}
complete -o bashdefault -o default -F _slimai_complete slimai
"""

ZSH = """\
_slimai_complete() {
    local -a found
    found=("${(@f)$(COMP_LINE="${words[1,CURRENT]}" slimai -sc query=zsh 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -S '' -- "${found[@]}"; else _files; fi
}
autoload -Uz compinit && { (( $+functions[compdef] )) || compinit; }
compdef _slimai_complete slimai
"""

FISH = """\
function __slimai_complete
    set -lx COMP_LINE (commandline -cp)
    slimai -sc query=fish 2>/dev/null
end
complete -c slimai -a '(__slimai_complete)'
"""

REMOVE = {
    "bash": "complete -r slimai; unset -f _slimai_complete\n",
    "zsh": "compdef -d slimai; unfunction _slimai_complete\n",
    "fish": "complete -c slimai -e; functions -e __slimai_complete\n",
}
INSTALL = {"bash": BASH, "zsh": ZSH, "fish": FISH}
HOW = {
    "bash": 'eval "$(slimai -sc install=bash)"',
    "zsh": 'eval "$(slimai -sc install=zsh)"',
    "fish": "slimai -sc install=fish | source",
}
