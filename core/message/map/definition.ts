/** What a declared mapping is: data, written in YAML or JSON, or with {@link mapping} in TypeScript. */
import { type TSchema, Type } from '../../schema.ts'

export type Scalar = string | number | boolean | null

/** A function with its arguments: a name, or a name with one or several of them. */
export type FunctionStep = string | { readonly [name: string]: Argument | readonly Argument[] }

/** A constant, or a rule whose value is the argument. */
export type Argument = Scalar | readonly Scalar[] | RuleObject

/** How one value of the target is made. A text is the path of the source. */
export type Rule = string | RuleObject

export interface RuleObject {
  /** The path of the source, or several of which the first that has a value counts. */
  from?: string | readonly string[]
  /** A constant. */
  value?: unknown
  /** The fields of an object; paths in it start at `from`, or at an item of `each`. */
  map?: Fields
  /** The path of a list: the value is a list too, with one entry for each item. A single value counts as a list of one. */
  each?: string
  /** What an entry of the list is, when it is not an object with a `map`. */
  item?: Rule
  /** A condition that items of the list must meet. */
  where?: string
  /** A condition; when it does not hold, there is no value, or that of `else`. */
  when?: string
  else?: Rule
  /** Functions that the value goes through. */
  fn?: FunctionStep | readonly FunctionStep[]
  /** A table, or the name of one, that gives the value its counterpart. */
  lookup?: string | Readonly<Record<string, unknown>>
  /** The value when there is none. */
  default?: unknown
  /** Whether it is an error when there is none. */
  required?: boolean
}

/** Rules by target: a name, or several with dots between for objects in objects. */
export interface Fields {
  readonly [target: string]: Rule
}

export interface MappingDefinition {
  description?: string
  /** Where all paths start, when not at the input itself. */
  from?: string
  /** Tables for `lookup`, by name. */
  tables?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  map: Fields
}

/** The keys of {@link RuleObject}. */
export const RULE_KEYS = [
  'from',
  'value',
  'map',
  'each',
  'item',
  'where',
  'when',
  'else',
  'fn',
  'lookup',
  'default',
  'required',
] as const

const ref = (name: string) => ({ $ref: `#/$defs/${name}` })
const one = (schema: object) => ({ anyOf: [schema, { type: 'array', items: schema }] })

/** JSON Schema of a mapping file, for editors and forms; the compiler checks more. */
export const MappingSchema: TSchema = Type.Unsafe<MappingDefinition>({
  type: 'object',
  properties: {
    description: { type: 'string' },
    from: { type: 'string', description: 'Where all paths start.' },
    tables: { type: 'object', additionalProperties: { type: 'object' } },
    map: ref('fields'),
  },
  required: ['map'],
  additionalProperties: false,
  $defs: {
    fields: { type: 'object', additionalProperties: ref('rule') },
    rule: { anyOf: [{ type: 'string', description: 'The path of the source.' }, ref('object')] },
    object: {
      type: 'object',
      properties: {
        from: one({ type: 'string' }),
        value: {},
        map: ref('fields'),
        each: { type: 'string', description: 'The path of a list.' },
        item: ref('rule'),
        where: { type: 'string', description: 'A condition that items must meet.' },
        when: { type: 'string', description: 'A condition for the value to be there.' },
        else: ref('rule'),
        fn: one(ref('step')),
        lookup: { anyOf: [{ type: 'string' }, { type: 'object' }] },
        default: {},
        required: { type: 'boolean', default: false },
      },
      additionalProperties: false,
    },
    step: {
      anyOf: [
        { type: 'string' },
        { type: 'object', minProperties: 1, maxProperties: 1, additionalProperties: one(ref('argument')) },
      ],
    },
    argument: { anyOf: [{ type: ['string', 'number', 'boolean', 'null', 'array'] }, ref('object')] },
  },
})

// The types of mappings in TypeScript: targets are the keys of the output, sources are paths of the input.

type Data = string | number | boolean | bigint | null | undefined | Date | readonly unknown[]

/** The dotted paths of an object type, five levels deep; any text where the type says nothing. */
export type PathOf<T, Depth extends readonly unknown[] = []> = Depth['length'] extends 5
  ? never
  : unknown extends T
    ? string
    : T extends Data
      ? never
      : {
          [K in keyof T & string]: K | `${K}.${PathOf<NonNullable<T[K]>, [...Depth, unknown]>}`
        }[keyof T & string]

type RequiredKeys<T> = { [K in keyof T]-?: undefined extends T[K] ? never : K }[keyof T]

/** The rule of one field: an object may be mapped field by field, a list item by item. */
type TypedRule<Input, Value> =
  | PathOf<Input>
  | (Omit<RuleObject, 'map' | 'from'> & { from?: string | readonly string[]; map?: TypedMap<unknown, Value> })

type Entry<Value> = Value extends readonly (infer Item)[] ? Item : Value

type TypedMap<Input, Value> = Entry<Value> extends object ? TypedFields<Input, Entry<Value>> : Fields

type TypedFields<Input, Output> = {
  [K in keyof Output & string]?: TypedRule<Input, NonNullable<Output[K]>>
} & {
  [K in RequiredKeys<Output> & string]: TypedRule<Input, NonNullable<Output[K]>>
}

/** A mapping of one type to another. */
export interface TypedMapping<Input, Output> extends MappingDefinition {
  /** For the compiler of TypeScript; there is nothing of that name. */
  readonly types?: (input: Input) => Output
}

/**
 * Writes a declared mapping in TypeScript: the same data as in a file, with its targets checked against the output
 * type (all that is required must be there) and plain paths against the input type.
 *
 * ```ts
 * export default mapping<Order, Invoice>({ map: { number: 'id', buyer: { map: { name: 'customer.name' } } } })
 * ```
 */
export function mapping<Input = unknown, Output = Record<string, unknown>>(definition: {
  description?: string
  tables?: MappingDefinition['tables']
  map: unknown extends Output ? Fields : TypedFields<Input, Output>
}): TypedMapping<Input, Output> {
  return definition as TypedMapping<Input, Output>
}
