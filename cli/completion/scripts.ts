/** Completion scripts. Verbs and options stand in them; names of services are asked for while one types. */
import type { Verb } from './words.ts'

export const SHELLS = ['bash', 'zsh', 'fish'] as const

export type Shell = (typeof SHELLS)[number]

export function completionScript(shell: Shell, verbs: readonly Verb[]): string {
  if (shell === 'fish') return fish(verbs)
  return shell === 'bash' ? bash(verbs) : zsh(verbs)
}

const isTop = ({ name }: Verb) => !name.includes(' ')
const flagsOf = ({ options }: Verb) => [...options.map(({ flag }) => flag), '--help']
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

/** Finds the verb before the cursor, then offers what may follow it. */
function bash(verbs: readonly Verb[]): string {
  const top = verbs.filter(isTop).map(({ name }) => name)
  const parents = verbs.filter(verb => verbs.some(({ name }) => name.startsWith(`${verb.name} `)))
  const cases = verbs.map(verb => {
    const live = verb.live ? ` $(signalbox __complete ${verb.live} 2>/dev/null)` : ''
    const lines = [
      `words=${quoted(verb.words.join(' '))}`,
      `flags=${quoted(flagsOf(verb).join(' '))}`,
      ...(live ? [`[[ $cur == -* ]] || words="$words${live}"`] : []),
      ...(verb.files ? ['files=1'] : []),
    ]
    return `    ${quoted(verb.name)}) ${lines.join('; ')} ;;`
  })
  return `# bash completion of signalbox. Put this in ~/.bashrc: eval "$(signalbox completion bash)"
_signalbox() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" verb="" words="" flags="" files="" i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
      -*) ;;
      *)
        if [[ -z $verb ]]; then verb="\${COMP_WORDS[i]}"
        elif [[ ${parents.map(({ name }) => `$verb == ${name}`).join(' || ') || 'x == y'} ]]; then verb="$verb \${COMP_WORDS[i]}"
        fi
        ;;
    esac
  done
  case "$verb" in
    '') words=${quoted(top.join(' '))}; flags='--help --version' ;;
${cases.join('\n')}
  esac
  [[ $cur == -* ]] && words="$flags"
  local IFS=$' \\t\\n'
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  [[ -n $files && $cur != -* ]] && COMPREPLY+=($(compgen -f -- "$cur"))
  return 0
}
complete -o filenames -o bashdefault -F _signalbox signalbox
`
}

function zsh(verbs: readonly Verb[]): string {
  const described = (entries: { name: string; description: string }[]) =>
    entries.map(({ name, description }) => quoted(`${name}:${description.replaceAll(':', ' -')}`)).join(' ')
  const parents = verbs.filter(verb => verbs.some(({ name }) => name.startsWith(`${verb.name} `)))
  const cases = verbs.map(verb => {
    const options = verb.options.map(({ flag, description }) => ({ name: flag, description }))
    const lines = [
      `flags=(${described([...options, { name: '--help', description: 'show the help' }])})`,
      `words_=(${verb.words.map(quoted).join(' ')})`,
      ...(verb.live ? [`words_+=(\${(f)"$(signalbox __complete ${verb.live} 2>/dev/null)"})`] : []),
      ...(verb.files ? ['files=1'] : []),
    ]
    return `    ${quoted(verb.name)}) ${lines.join('; ')} ;;`
  })
  return `#compdef signalbox
# zsh completion of signalbox. Put this in ~/.zshrc, after compinit: eval "$(signalbox completion zsh)"
_signalbox() {
  local verb="" files="" i
  local -a flags words_ verbs
  for ((i = 2; i < CURRENT; i++)); do
    case "\${words[i]}" in
      -*) ;;
      *)
        if [[ -z $verb ]]; then verb="\${words[i]}"
        elif [[ ${parents.map(({ name }) => `$verb == ${name}`).join(' || ') || 'x == y'} ]]; then verb="$verb \${words[i]}"
        fi
        ;;
    esac
  done
  case "$verb" in
    '') verbs=(${described(verbs.filter(isTop))}); _describe 'verb' verbs; return ;;
${cases.join('\n')}
  esac
  if [[ \${words[CURRENT]} == -* ]]; then _describe 'option' flags; return; fi
  (( \${#words_} )) && compadd -a words_
  [[ -n $files ]] && _files
  return 0
}
compdef _signalbox signalbox
`
}

function fish(verbs: readonly Verb[]): string {
  const lines = [
    '# fish completion of signalbox. Save it: signalbox completion fish > ~/.config/fish/completions/signalbox.fish',
    'complete -c signalbox -f',
  ]
  for (const verb of verbs) {
    const [first, second] = verb.name.split(' ')
    const nested = verbs
      .filter(({ name }) => name.startsWith(`${verb.name} `))
      .map(({ name }) => name.split(' ')[1]!)
    const here = second
      ? `__fish_seen_subcommand_from ${first}; and __fish_seen_subcommand_from ${second}`
      : `__fish_seen_subcommand_from ${first}${nested.length > 0 ? `; and not __fish_seen_subcommand_from ${nested.join(' ')}` : ''}`
    const before = second
      ? `__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${siblings(verbs, first!)}`
      : '__fish_use_subcommand'
    const add = (condition: string, rest: string) =>
      lines.push(`complete -c signalbox -n ${fishQuoted(condition)} ${rest}`)
    add(before, `-a ${fishQuoted(second ?? first!)} -d ${fishQuoted(verb.description)}`)
    for (const { flag, description, takesValue } of verb.options) {
      add(here, `${takesValue ? '-r ' : ''}-l ${flag.replace(/^--/, '')} -d ${fishQuoted(description)}`)
    }
    if (verb.words.length > 0 && nested.length === 0) add(here, `-a ${fishQuoted(verb.words.join(' '))}`)
    if (verb.live) add(here, `-a ${fishQuoted(`(signalbox __complete ${verb.live} 2>/dev/null)`)}`)
    if (verb.files) add(here, '-F')
  }
  return `${lines.join('\n')}\n`
}

function siblings(verbs: readonly Verb[], parent: string): string {
  return verbs
    .filter(({ name }) => name.startsWith(`${parent} `))
    .map(({ name }) => name.split(' ')[1])
    .join(' ')
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
