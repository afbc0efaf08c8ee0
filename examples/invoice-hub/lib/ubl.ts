/** UBL 2.1 Invoice and CreditNote to the canonical invoice. */
import { fields, type Table } from './mapping.ts'

const INVOICE = 'urn:oasis:names:specification:ubl:schema:xsd:Invoice-2'
const CREDIT_NOTE = 'urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2'

const ubl = fields({
  cbc: 'urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2',
  cac: 'urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2',
})
const { text, required, mandatory, decimal, amount, date, boolean, code, attribute, textAt } = ubl
const { first, group, list, some, where } = ubl

const VAT: Table = { category: required('cbc:ID'), rate: decimal('cbc:Percent') }

const vatOf = (path: string) => mandatory(`${path}/cbc:ID`, group(path, VAT))

const PARTY: Table = {
  name: mandatory(
    'cac:PartyLegalEntity/cbc:RegistrationName',
    first(text('cac:PartyLegalEntity/cbc:RegistrationName'), text('cac:PartyName/cbc:Name')),
  ),
  identifier: text('cac:PartyIdentification/cbc:ID'),
  legalId: text('cac:PartyLegalEntity/cbc:CompanyID'),
  vatId: where(
    'cac:PartyTaxScheme',
    scheme => textAt(scheme, 'cac:TaxScheme/cbc:ID') === 'VAT',
    text('cbc:CompanyID'),
  ),
  address: mandatory(
    'cac:PostalAddress/cac:Country/cbc:IdentificationCode',
    group('cac:PostalAddress', {
      street: text('cbc:StreetName'),
      street2: text('cbc:AdditionalStreetName'),
      city: text('cbc:CityName'),
      postcode: text('cbc:PostalZone'),
      region: text('cbc:CountrySubentity'),
      country: required('cac:Country/cbc:IdentificationCode'),
    }),
  ),
}

const CONTACT: Table = {
  name: text('cbc:Name'),
  telephone: text('cbc:Telephone'),
  email: text('cbc:ElectronicMail'),
}

const ALLOWANCE_CHARGE: Table = {
  charge: mandatory('cbc:ChargeIndicator', boolean('cbc:ChargeIndicator')),
  amount: amount('cbc:Amount'),
  reason: text('cbc:AllowanceChargeReason'),
  vat: vatOf('cac:TaxCategory'),
}

const VAT_BREAKDOWN: Table = {
  vat: vatOf('cac:TaxCategory'),
  taxableAmount: amount('cbc:TaxableAmount'),
  taxAmount: amount('cbc:TaxAmount'),
}

const TOTALS: Table = {
  lineNet: amount('cac:LegalMonetaryTotal/cbc:LineExtensionAmount'),
  allowances: decimal('cac:LegalMonetaryTotal/cbc:AllowanceTotalAmount'),
  charges: decimal('cac:LegalMonetaryTotal/cbc:ChargeTotalAmount'),
  withoutVat: amount('cac:LegalMonetaryTotal/cbc:TaxExclusiveAmount'),
  // There may be a second total, in the currency of the tax authority and without a breakdown.
  vat: where('cac:TaxTotal', total => total.child('TaxSubtotal') !== undefined, decimal('cbc:TaxAmount')),
  withVat: amount('cac:LegalMonetaryTotal/cbc:TaxInclusiveAmount'),
  prepaid: decimal('cac:LegalMonetaryTotal/cbc:PrepaidAmount'),
  rounding: decimal('cac:LegalMonetaryTotal/cbc:PayableRoundingAmount'),
  payable: amount('cac:LegalMonetaryTotal/cbc:PayableAmount'),
}

/** The whole document, with what an invoice and a credit note call differently. */
function documentTable(typeCode: string, line: string, quantity: string): Table {
  const seller = 'cac:AccountingSupplierParty/cac:Party'
  const buyer = 'cac:AccountingCustomerParty/cac:Party'
  const currency = code('cbc:DocumentCurrencyCode', /^[A-Z]{3}$/, 'a currency code of ISO 4217')
  return {
    number: required('cbc:ID'),
    issueDate: mandatory('cbc:IssueDate', date('cbc:IssueDate')),
    typeCode: required(typeCode),
    currency: mandatory('cbc:DocumentCurrencyCode', currency),
    dueDate: first(date('cbc:DueDate'), date('cac:PaymentMeans/cbc:PaymentDueDate')),
    buyerReference: text('cbc:BuyerReference'),
    seller: mandatory(seller, group(seller, PARTY)),
    sellerContact: group(`${seller}/cac:Contact`, CONTACT),
    buyer: mandatory(buyer, group(buyer, PARTY)),
    buyerContact: group(`${buyer}/cac:Contact`, CONTACT),
    allowanceCharges: list('cac:AllowanceCharge', ALLOWANCE_CHARGE),
    vatBreakdown: some('cac:TaxTotal/cac:TaxSubtotal', VAT_BREAKDOWN),
    totals: group('.', TOTALS),
    lines: some(line, {
      id: required('cbc:ID'),
      name: text('cac:Item/cbc:Name'),
      quantity: amount(quantity),
      unit: attribute(quantity, 'unitCode'),
      netPrice: decimal('cac:Price/cbc:PriceAmount'),
      netAmount: amount('cbc:LineExtensionAmount'),
      vat: vatOf('cac:Item/cac:ClassifiedTaxCategory'),
    }),
  }
}

/** The tables by namespace and name of the root element. */
export const UBL: Readonly<Record<string, Table>> = {
  [`${INVOICE} Invoice`]: documentTable('cbc:InvoiceTypeCode', 'cac:InvoiceLine', 'cbc:InvoicedQuantity'),
  [`${CREDIT_NOTE} CreditNote`]: documentTable(
    'cbc:CreditNoteTypeCode',
    'cac:CreditNoteLine',
    'cbc:CreditedQuantity',
  ),
}
