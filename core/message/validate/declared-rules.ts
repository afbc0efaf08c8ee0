/** Business rules as data: what a YAML file says, with conditions in an expression language. */
import { parseOptions, type Static, Type } from '../../schema.ts'
import { errorText, type Rule, rules } from './rules.ts'
import { unusable } from './schema-files.ts'
import type { Validator } from './violation.ts'

export const DeclaredRules = Type.Array(
  Type.Object(
    {
      id: Type.String({ minLength: 1, description: 'Stable name, such as BR-CO-16.' }),
      when: Type.Optional(
        Type.String({ minLength: 1, description: 'Expression: whether the rule applies.' }),
      ),
      test: Type.String({
        minLength: 1,
        description:
          'Expression: true when obeyed, or a list ([...]) of the JSON Pointers at which the rule is broken.',
      }),
      message: Type.String({ minLength: 1, description: 'What is wrong, for people.' }),
      pointer: Type.Optional(
        Type.String({ pattern: '^(/|$)', description: 'JSON Pointer of what it is about.' }),
      ),
      severity: Type.Optional(Type.Union([Type.Literal('error'), Type.Literal('warning')])),
    },
    { additionalProperties: false },
  ),
  { minItems: 1, maxItems: 10_000 },
)
export type DeclaredRules = Static<typeof DeclaredRules>

/** Compiles an expression, such as one of JSONata, once; the result is called for each message. */
export type CompileExpression = (expression: string) => (message: unknown) => unknown

/**
 * The validator of declared rules: `- { id: BR-16, test: '$count(lines) > 0', message: ..., pointer: /lines }`.
 * Throws SIGNALBOX_SCHEMA_INVALID for what is no list of rules, two rules of one id, and expressions that do not
 * compile, with the id.
 */
export function declaredRules(definitions: unknown, compile: CompileExpression): Validator {
  const list = parseOptions<DeclaredRules>(DeclaredRules, definitions, 'rules', 'SIGNALBOX_SCHEMA_INVALID')
  const ids = new Set<string>()
  for (const { id } of list) {
    if (ids.has(id)) throw unusable(`two rules have the id '${id}'`)
    ids.add(id)
  }
  return rules(list.map(each => compiledRule(each, compile)))
}

function compiledRule(definition: DeclaredRules[number], compile: CompileExpression): Rule<unknown> {
  const { when, test, ...rest } = definition
  const rule: Rule<unknown> = { ...rest, test: compiledPart(rest.id, 'test', test, compile) }
  if (when !== undefined) rule.when = compiledPart(rest.id, 'when', when, compile)
  return rule
}

function compiledPart(id: string, part: string, expression: string, compile: CompileExpression) {
  try {
    return compile(expression)
  } catch (error) {
    throw unusable(`rule '${id}': ${part} does not compile: ${errorText(error)}`, error)
  }
}
