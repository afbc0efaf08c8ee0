/**
 * The canonical invoice: what the hub works with, whatever syntax a partner sends. The comments name the business
 * terms (BT) and groups (BG) of EN 16931-1.
 *
 * Amounts, quantities and rates are decimal strings in their shortest form: "4675", "-0.5". They are exact, which
 * binary numbers are not (0.1 + 0.2), and equal amounts are equal strings, whether a partner wrote 4675 or 4675.00.
 */
import { type Static, Type } from 'signalbox'

/** A decimal number in its shortest form. */
export const Decimal = Type.String({ pattern: '^-?(0|[1-9][0-9]*)(\\.[0-9]*[1-9])?$', maxLength: 40 })
const Day = Type.String({ format: 'date' })
const Text = Type.String({ minLength: 1 })
const Currency = Type.String({ pattern: '^[A-Z]{3}$' })

/** VAT category (UNCL5305: S, Z, E, AE, K, G, O, L, M) and rate in percent; O has no rate. */
const Vat = Type.Object({ category: Text, rate: Type.Optional(Decimal) })

const Party = Type.Object({
  name: Text, // BT-27, BT-44
  identifier: Type.Optional(Text), // BT-29, BT-46
  legalId: Type.Optional(Text), // BT-30, BT-47
  vatId: Type.Optional(Text), // BT-31, BT-48
  address: Type.Object({
    street: Type.Optional(Text),
    street2: Type.Optional(Text),
    city: Type.Optional(Text),
    postcode: Type.Optional(Text),
    region: Type.Optional(Text),
    country: Text,
  }),
})

const Contact = Type.Object({
  name: Type.Optional(Text),
  telephone: Type.Optional(Text),
  email: Type.Optional(Text),
})

/** Allowance (BG-20) or charge (BG-21) on document level. */
const AllowanceCharge = Type.Object({
  charge: Type.Boolean(),
  amount: Decimal,
  reason: Type.Optional(Text),
  vat: Vat,
})

/** BG-25 */
const Line = Type.Object({
  id: Text,
  name: Type.Optional(Text),
  quantity: Decimal,
  unit: Type.Optional(Text),
  netPrice: Type.Optional(Decimal),
  netAmount: Decimal,
  vat: Vat,
})

/** BG-23 */
const VatBreakdown = Type.Object({ vat: Vat, taxableAmount: Decimal, taxAmount: Decimal })

/** BG-22. What is optional counts as 0 when it is missing. */
const Totals = Type.Object({
  lineNet: Decimal, // BT-106
  allowances: Type.Optional(Decimal), // BT-107
  charges: Type.Optional(Decimal), // BT-108
  withoutVat: Decimal, // BT-109
  vat: Type.Optional(Decimal), // BT-110
  withVat: Decimal, // BT-112
  prepaid: Type.Optional(Decimal), // BT-113
  rounding: Type.Optional(Decimal), // BT-114
  payable: Decimal, // BT-115
})

export const Invoice = Type.Object({
  number: Text, // BT-1
  issueDate: Day, // BT-2
  typeCode: Text, // BT-3, UNCL1001: 380 invoice, 381 credit note
  currency: Currency, // BT-5
  dueDate: Type.Optional(Day), // BT-9
  buyerReference: Type.Optional(Text), // BT-10
  seller: Party, // BG-4
  sellerContact: Type.Optional(Contact), // BG-6
  buyer: Party, // BG-7
  buyerContact: Type.Optional(Contact), // BG-9
  allowanceCharges: Type.Array(AllowanceCharge),
  vatBreakdown: Type.Array(VatBreakdown, { minItems: 1 }),
  totals: Totals,
  lines: Type.Array(Line, { minItems: 1 }),
})

export type Invoice = Static<typeof Invoice>

/** What a euro costs in a currency. */
export const Rate = Type.Object({
  currency: Currency,
  perEuro: Decimal,
  date: Day,
  /** Whether the table of rates was in memory. */
  cached: Type.Boolean(),
})

/** An invoice on its way through the hub: with what is to be paid in euros, and the rate it was computed by. */
export const RatedInvoice = Type.Object({
  ...Invoice.properties,
  euro: Type.Object({ payable: Decimal, rate: Rate }),
})

export type RatedInvoice = Static<typeof RatedInvoice>

/** A rule that an invoice breaks. */
export const Finding = Type.Object({
  /** The rule of EN 16931, e.g. BR-CO-10. */
  rule: Type.String(),
  message: Type.String(),
  /** JSON Pointer into the canonical invoice. */
  pointer: Type.String(),
  expected: Type.String(),
  found: Type.String(),
})

export type Finding = Static<typeof Finding>

export const CheckResult = Type.Object({ valid: Type.Boolean(), findings: Type.Array(Finding) })

export type CheckResult = Static<typeof CheckResult>
