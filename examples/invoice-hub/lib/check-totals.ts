/** The arithmetic of EN 16931: totals (BR-CO-10 to BR-CO-16) and VAT (BR-CO-17, BR-S-08 and its sisters). */
import Big from 'big.js'
import type { Finding, Invoice } from '../canonical.ts'

type Amount = string | undefined

/** VAT categories and the names of their rules. All but S, L and M have no tax. */
const RULES: Readonly<Record<string, string>> = {
  S: 'BR-S',
  Z: 'BR-Z',
  E: 'BR-E',
  AE: 'BR-AE',
  K: 'BR-IC',
  G: 'BR-G',
  O: 'BR-O',
  L: 'BR-AF',
  M: 'BR-AG',
}
const TAXED = new Set(['S', 'L', 'M'])

/** Every rule that the amounts of the invoice break; none when it adds up. Exact to the last digit. */
export function checkTotals(invoice: Invoice): Finding[] {
  return [...checkSums(invoice), ...checkVatBreakdown(invoice), ...checkVatCategories(invoice)]
}

function checkSums({ totals, lines, allowanceCharges, vatBreakdown }: Invoice): Finding[] {
  const allowances = allowanceCharges.filter(item => !item.charge).map(item => item.amount)
  const charges = allowanceCharges.filter(item => item.charge).map(item => item.amount)
  const withoutVat = sum([totals.lineNet, totals.charges]).minus(big(totals.allowances))
  const payable = sum([totals.withVat, totals.rounding]).minus(big(totals.prepaid))
  const vat = sum(vatBreakdown.map(item => item.taxAmount))
  return [
    compare('BR-CO-10', 'the sum of line net amounts', 'lineNet', sum(lines.map(line => line.netAmount))),
    compare('BR-CO-11', 'the sum of allowances on document level', 'allowances', sum(allowances)),
    compare('BR-CO-12', 'the sum of charges on document level', 'charges', sum(charges)),
    compare('BR-CO-13', 'the total without VAT: lines - allowances + charges', 'withoutVat', withoutVat),
    compare('BR-CO-14', 'the total VAT: the sum of VAT category tax amounts', 'vat', vat),
    compare(
      'BR-CO-15',
      'the total with VAT: without VAT + VAT',
      'withVat',
      sum([totals.withoutVat, totals.vat]),
    ),
    compare('BR-CO-16', 'the amount due: with VAT - paid + rounding', 'payable', payable),
  ].flat()

  function compare(rule: string, what: string, name: keyof typeof totals, expected: Big): Finding[] {
    return finding(rule, what, `/totals/${name}`, expected, totals[name])
  }
}

/** The tax of each category follows from its taxable amount and rate, half a cent away from zero. */
function checkVatBreakdown({ vatBreakdown }: Invoice): Finding[] {
  return vatBreakdown.flatMap(({ vat, taxableAmount, taxAmount }, i) => {
    const pointer = `/vatBreakdown/${i}/taxAmount`
    const name = RULES[vat.category]
    if (name !== undefined && !TAXED.has(vat.category)) {
      return finding(`${name}-09`, `the tax of category ${vat.category}`, pointer, big('0'), taxAmount)
    }
    const tax = big(taxableAmount).times(big(vat.rate)).div(100).round(2, Big.roundHalfUp)
    return finding('BR-CO-17', `the tax of ${taxableAmount} at ${vat.rate ?? 0} %`, pointer, tax, taxAmount)
  })
}

/** The taxable amount of a category is that of its lines, charges and allowances, and each has its category. */
function checkVatCategories({ lines, allowanceCharges, vatBreakdown }: Invoice): Finding[] {
  const taxable = new Map<string, Big>()
  const add = (vat: Vat, amount: Big) => {
    const key = groupOf(vat)
    taxable.set(key, (taxable.get(key) ?? big('0')).plus(amount))
  }
  for (const line of lines) add(line.vat, big(line.netAmount))
  for (const { charge, amount, vat } of allowanceCharges) add(vat, charge ? big(amount) : big(amount).neg())

  const findings = vatBreakdown.flatMap(({ vat, taxableAmount }, i) => {
    const expected = taxable.get(groupOf(vat)) ?? big('0')
    taxable.delete(groupOf(vat))
    const rule = `${RULES[vat.category] ?? 'BR-CO'}-08`
    const what = `the taxable amount of category ${groupOf(vat)}`
    return finding(rule, what, `/vatBreakdown/${i}/taxableAmount`, expected, taxableAmount)
  })
  for (const [group, amount] of taxable) {
    const rule = `${RULES[group.split(' ')[0]!] ?? 'BR-CO'}-01`
    const at = lines.findIndex(line => groupOf(line.vat) === group)
    const pointer =
      at >= 0
        ? `/lines/${at}/vat/category`
        : `/allowanceCharges/${allowanceCharges.findIndex(item => groupOf(item.vat) === group)}/vat/category`
    findings.push(
      ...finding(rule, `the VAT breakdown for category ${group}`, pointer, amount, undefined, true),
    )
  }
  return findings
}

type Vat = Invoice['lines'][number]['vat']

/** Taxed categories have a breakdown for each rate, the others one. */
function groupOf({ category, rate }: Vat): string {
  return TAXED.has(category) ? `${category} ${rate ?? '0'}%` : category
}

function finding(
  rule: string,
  what: string,
  pointer: string,
  expected: Big,
  found: Amount,
  missing = false,
): Finding[] {
  if (!missing && expected.eq(big(found))) return []
  const shown = found ?? (missing ? 'nothing' : '0')
  const message = `${what} must be ${expected.toFixed()}, found ${shown}`
  return [{ rule, message, pointer, expected: expected.toFixed(), found: shown }]
}

function sum(amounts: readonly Amount[]): Big {
  return amounts.reduce<Big>((total, amount) => total.plus(big(amount)), new Big(0))
}

function big(amount: Amount): Big {
  return new Big(amount ?? 0)
}
