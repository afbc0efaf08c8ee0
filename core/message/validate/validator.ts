/** Validators of messages by schema. */
import { type JsonSchemaOptions, jsonSchemaValidator } from './json-schema.ts'
import type { Validator } from './violation.ts'
import { type XsdOptions, xsdValidator } from './xsd.ts'

export type ValidatorOptions = JsonSchemaOptions | XsdOptions

/**
 * Makes a validator, once, where a service is loaded; it is used for each message.
 *
 * ```ts
 * const schema = validator({ schemaFile: 'order.json', folder: new URL('../schemas/', import.meta.url) })
 * const xsd = validator({ xsd: 'ubl/Invoice.xsd', folder: new URL('../schemas/', import.meta.url) })
 *
 * await assertValid(schema, order)
 * await assertValid(xsd, bytes, this)
 * ```
 *
 * See `jsonSchemaValidator` and `xsdValidator` for options and errors.
 */
export function validator(options: ValidatorOptions): Validator {
  return 'xsd' in options ? xsdValidator(options) : jsonSchemaValidator(options)
}
