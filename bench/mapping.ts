/** One mapping of an order of 2 KiB: written by hand, declared, in JSONata compiled, and in the jsonata package. */
import { isDeepStrictEqual } from 'node:util'
import jsonata from 'jsonata'
import { compileJsonata } from '../core/message/jsonata/compile.ts'
import { compileMapping } from '../core/message/map/compile.ts'
import { race } from './measure.ts'
import type { BenchRow } from './row.ts'

const ORDER = {
  id: 'PO-20461',
  created: '2026-03-14T08:15:30Z',
  currency: 'EUR',
  customer: {
    number: 'C-1077',
    name: ' Brightwater Tools Ltd ',
    vat: 'GB123456789',
    contact: { first: 'Ada', last: 'Byron', email: 'Ada.Byron@Example.com', phone: '+44 20 7946 0000' },
    address: { street: '12 Quay Street', city: 'Bristol', zip: 'BS1 4DJ', country: 'gb' },
  },
  delivery: { name: 'Warehouse 3', street: 'Dock Road 7', city: 'Avonmouth', zip: 'BS11 9DA', country: 'gb' },
  lines: Array.from({ length: 12 }, (_, i) => ({
    pos: i + 1,
    sku: `SKU-100${i}`,
    title: `Hex bolt M${4 + i} zinc plated`,
    quantity: 10 * (i + 1),
    unit: 'pcs',
    price: 1 + i,
    taxRate: i % 3 === 0 ? 0 : 20,
  })),
  notes: ['call before delivery', 'no Saturday'],
}

type Order = typeof ORDER

const DECLARED = {
  map: {
    number: 'id',
    date: { from: 'created', fn: { substring: [0, 10] } },
    currency: 'currency',
    buyer: {
      from: 'customer',
      map: {
        id: 'number',
        name: { from: 'name', fn: 'trim' },
        vatId: 'vat',
        contact: { from: 'contact.first', fn: { concat: [' ', { from: 'contact.last' }] } },
        email: { from: 'contact.email', fn: 'lower' },
        phone: 'contact.phone',
        'address.street': 'address.street',
        'address.city': 'address.city',
        'address.postcode': 'address.zip',
        'address.country': { from: 'address.country', fn: 'upper' },
      },
    },
    shipTo: {
      from: 'delivery',
      map: {
        name: 'name',
        street: 'street',
        city: 'city',
        postcode: 'zip',
        country: { from: 'country', fn: 'upper' },
      },
    },
    lines: {
      each: 'lines',
      map: {
        line: 'pos',
        item: 'sku',
        description: 'title',
        quantity: 'quantity',
        unit: { from: 'unit', lookup: { pcs: 'C62', kg: 'KGM' } },
        price: 'price',
        taxed: { when: 'taxRate > 0', value: true, else: { value: false } },
      },
    },
    lineCount: { from: 'lines', fn: 'count' },
    notes: { from: 'notes', fn: { join: '; ' } },
  },
}

const JSONATA = `{
  "number": id, "date": $substring(created, 0, 10), "currency": currency,
  "buyer": {
    "id": customer.number, "name": $trim(customer.name), "vatId": customer.vat,
    "contact": customer.contact.first & " " & customer.contact.last,
    "email": $lowercase(customer.contact.email), "phone": customer.contact.phone,
    "address": {
      "street": customer.address.street, "city": customer.address.city,
      "postcode": customer.address.zip, "country": $uppercase(customer.address.country)
    }
  },
  "shipTo": {
    "name": delivery.name, "street": delivery.street, "city": delivery.city,
    "postcode": delivery.zip, "country": $uppercase(delivery.country)
  },
  "lines": lines.{
    "line": pos, "item": sku, "description": title, "quantity": quantity,
    "unit": $lookup({ "pcs": "C62", "kg": "KGM" }, unit), "price": price, "taxed": taxRate > 0
  },
  "lineCount": $count(lines), "notes": $join(notes, "; ")
}`

const UNITS = new Map([
  ['pcs', 'C62'],
  ['kg', 'KGM'],
])

/** As careful as a mapping: every part may be missing. */
function byHand(order: Partial<Order>) {
  const { customer, delivery } = order
  return {
    number: order.id,
    date: order.created?.slice(0, 10),
    currency: order.currency,
    buyer: customer && {
      id: customer.number,
      name: customer.name?.trim(),
      vatId: customer.vat,
      contact: `${customer.contact?.first} ${customer.contact?.last}`,
      email: customer.contact?.email?.toLowerCase(),
      phone: customer.contact?.phone,
      address: customer.address && {
        street: customer.address.street,
        city: customer.address.city,
        postcode: customer.address.zip,
        country: customer.address.country?.toUpperCase(),
      },
    },
    shipTo: delivery && {
      name: delivery.name,
      street: delivery.street,
      city: delivery.city,
      postcode: delivery.zip,
      country: delivery.country?.toUpperCase(),
    },
    lines: order.lines?.map(line => ({
      line: line.pos,
      item: line.sku,
      description: line.title,
      quantity: line.quantity,
      unit: UNITS.get(line.unit),
      price: line.price,
      taxed: line.taxRate > 0,
    })),
    lineCount: order.lines?.length,
    notes: order.notes?.join('; '),
  }
}

/** Messages differ: the same object each time would be mapped better than any message is. */
const ORDERS = Array.from({ length: 64 }, (_, i): Order => ({ ...structuredClone(ORDER), id: `PO-${i}` }))

/** Mappings per second, all in one run. */
export async function run(): Promise<BenchRow[]> {
  const declared = compileMapping(DECLARED)
  const compiled = await compileJsonata(JSONATA)
  const package_ = jsonata(JSONATA)
  await check(declared.run(ORDER), compiled.run(ORDER), await package_.evaluate(ORDER))
  const each = (map: (order: Order) => unknown) => (count: number) => {
    for (let i = 0; i < count; i++) map(ORDERS[i & 63]!)
  }
  const rates = await race(
    {
      hand: each(byHand),
      declared: each(declared.run),
      jsonata: each(order => compiled.run(order)),
      package: async count => {
        for (let i = 0; i < count; i++) await package_.evaluate(ORDERS[i & 63])
      },
    },
    128,
  )
  return [
    {
      name: 'declared mapping, 2 KiB',
      value: rates.declared!,
      unit: 'mappings/s',
      peers: { 'hand-written JavaScript': rates.hand! },
      goal: 'at least 0.5 of hand-written JavaScript',
    },
    {
      name: 'JSONata compiled, 2 KiB',
      value: rates.jsonata!,
      unit: 'mappings/s',
      peers: { 'the jsonata package': rates.package! },
      goal: 'at least 100x the jsonata package',
    },
  ]
}

async function check(...outputs: unknown[]): Promise<void> {
  const expected = JSON.parse(JSON.stringify(byHand(ORDER)))
  for (const output of outputs) {
    if (!isDeepStrictEqual(JSON.parse(JSON.stringify(output)), expected))
      throw new Error('the mappings differ')
  }
}
