/** Errors of JSONata, by the codes of its documentation. */

/** Thrown while an expression runs; `run` of a compiled expression turns it into a SignalboxError. */
export class JsonataError extends Error {
  readonly code: string
  readonly value: unknown
  /** Where in the expression, in characters. */
  position: number | undefined
  /** The operator or function. */
  token: string | undefined

  constructor(code: keyof typeof MESSAGES, value?: unknown, position?: number, token?: string) {
    super(MESSAGES[code])
    this.name = 'JsonataError'
    this.code = code
    this.value = value
    this.position = position
    this.token = token
  }
}

const MESSAGES = {
  D1001: 'a number is out of range',
  D1002: 'only a number can be negated',
  D1004: 'a regular expression matches the empty text',
  D1009: 'several expressions of the object give the same key',
  D1011: 'the functions are nested too deeply',
  D1012: 'it ran longer than its time limit',
  D1013: 'this key is not allowed',
  D2014: 'a range has more than 10,000,000 items',
  D2015: 'a sequence or text is longer than allowed',
  D3010: 'the second argument of $replace must not be an empty text',
  D3011: 'the fourth argument of $replace must not be negative',
  D3012: 'the function given to $replace must return a text',
  D3020: 'the third argument of $split must not be negative',
  D3040: 'the third argument of $match must not be negative',
  D3050: 'the function given to $reduce must take at least two arguments',
  D3070: '$sort without a function takes an array of texts or an array of numbers',
  D3138: '$single found more than one match',
  D3139: '$single found no match',
  T1003: 'the keys of an object must be texts',
  T1005: 'this is no function; its name needs a $ in front',
  T1006: 'this is no function',
  T1007: 'a function that is no function cannot be partly applied; its name needs a $ in front',
  T1008: 'what is no function cannot be partly applied',
  T1010: 'the matcher function does not return a match',
  T2001: 'the left side of the operator must be a number',
  T2002: 'the right side of the operator must be a number',
  T2003: 'the left side of a range must be an integer',
  T2004: 'the right side of a range must be an integer',
  T2006: 'the right side of ~> must be a function',
  T2007: 'order-by compares values of different types',
  T2008: 'order-by needs numbers or texts',
  T2009: 'both sides of the operator must be of the same type',
  T2010: 'both sides of the operator must be numbers or texts',
  T2011: 'the update of a transform must be an object',
  T2012: 'the deletion of a transform must be one or more texts',
} as const
