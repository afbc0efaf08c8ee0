/** UN/CEFACT Cross Industry Invoice D16B to the canonical invoice. */
import { fields, type Table } from './mapping.ts'

const ROOT = 'urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100'

const cii = fields({
  rsm: ROOT,
  ram: 'urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100',
  udt: 'urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100',
})
const { text, required, mandatory, decimal, amount, date, boolean, code, attribute, textAt } = cii
const { first, group, list, some, where } = cii

const TRANSACTION = 'rsm:SupplyChainTradeTransaction'
const AGREEMENT = `${TRANSACTION}/ram:ApplicableHeaderTradeAgreement`
const SETTLEMENT = `${TRANSACTION}/ram:ApplicableHeaderTradeSettlement`
const SUMMATION = `${SETTLEMENT}/ram:SpecifiedTradeSettlementHeaderMonetarySummation`

const VAT: Table = {
  category: required('ram:CategoryCode'),
  rate: decimal('ram:RateApplicablePercent'),
}

const vatOf = (path: string) => mandatory(`${path}/ram:CategoryCode`, group(path, VAT))

const PARTY: Table = {
  name: required('ram:Name'),
  identifier: first(text('ram:GlobalID'), text('ram:ID')),
  legalId: text('ram:SpecifiedLegalOrganization/ram:ID'),
  vatId: where('ram:SpecifiedTaxRegistration/ram:ID', id => id.attribute('schemeID') === 'VA', text('.')),
  address: mandatory(
    'ram:PostalTradeAddress/ram:CountryID',
    group('ram:PostalTradeAddress', {
      street: text('ram:LineOne'),
      street2: text('ram:LineTwo'),
      city: text('ram:CityName'),
      postcode: text('ram:PostcodeCode'),
      region: text('ram:CountrySubDivisionName'),
      country: required('ram:CountryID'),
    }),
  ),
}

const CONTACT: Table = {
  name: text('ram:PersonName'),
  telephone: text('ram:TelephoneUniversalCommunication/ram:CompleteNumber'),
  email: text('ram:EmailURIUniversalCommunication/ram:URIID'),
}

const ALLOWANCE_CHARGE: Table = {
  charge: mandatory('ram:ChargeIndicator/udt:Indicator', boolean('ram:ChargeIndicator/udt:Indicator')),
  amount: amount('ram:ActualAmount'),
  reason: text('ram:Reason'),
  vat: vatOf('ram:CategoryTradeTax'),
}

const VAT_BREAKDOWN: Table = {
  vat: group('.', VAT),
  taxableAmount: amount('ram:BasisAmount'),
  taxAmount: amount('ram:CalculatedAmount'),
}

const TOTALS: Table = {
  lineNet: amount(`${SUMMATION}/ram:LineTotalAmount`),
  allowances: decimal(`${SUMMATION}/ram:AllowanceTotalAmount`),
  charges: decimal(`${SUMMATION}/ram:ChargeTotalAmount`),
  withoutVat: amount(`${SUMMATION}/ram:TaxBasisTotalAmount`),
  // There may be a second total, in the currency of the tax authority.
  vat: where(
    `${SUMMATION}/ram:TaxTotalAmount`,
    total => {
      const currency = total.attribute('currencyID')
      return currency === undefined || currency === textAt(total.parent!.parent!, 'ram:InvoiceCurrencyCode')
    },
    decimal('.'),
  ),
  withVat: amount(`${SUMMATION}/ram:GrandTotalAmount`),
  prepaid: decimal(`${SUMMATION}/ram:TotalPrepaidAmount`),
  rounding: decimal(`${SUMMATION}/ram:RoundingAmount`),
  payable: amount(`${SUMMATION}/ram:DuePayableAmount`),
}

const LINE_SETTLEMENT = 'ram:SpecifiedLineTradeSettlement'
const QUANTITY = 'ram:SpecifiedLineTradeDelivery/ram:BilledQuantity'

const LINE: Table = {
  id: required('ram:AssociatedDocumentLineDocument/ram:LineID'),
  name: text('ram:SpecifiedTradeProduct/ram:Name'),
  quantity: amount(QUANTITY),
  unit: attribute(QUANTITY, 'unitCode'),
  netPrice: decimal('ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice/ram:ChargeAmount'),
  netAmount: amount(
    `${LINE_SETTLEMENT}/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount`,
  ),
  vat: vatOf(`${LINE_SETTLEMENT}/ram:ApplicableTradeTax`),
}

const ISSUED = 'rsm:ExchangedDocument/ram:IssueDateTime/udt:DateTimeString'
const CURRENCY = `${SETTLEMENT}/ram:InvoiceCurrencyCode`
const SELLER = `${AGREEMENT}/ram:SellerTradeParty`
const BUYER = `${AGREEMENT}/ram:BuyerTradeParty`

const DOCUMENT: Table = {
  number: required('rsm:ExchangedDocument/ram:ID'),
  issueDate: mandatory(ISSUED, date(ISSUED)),
  typeCode: required('rsm:ExchangedDocument/ram:TypeCode'),
  currency: mandatory(CURRENCY, code(CURRENCY, /^[A-Z]{3}$/, 'a currency code of ISO 4217')),
  dueDate: date(`${SETTLEMENT}/ram:SpecifiedTradePaymentTerms/ram:DueDateDateTime/udt:DateTimeString`),
  buyerReference: text(`${AGREEMENT}/ram:BuyerReference`),
  seller: mandatory(SELLER, group(SELLER, PARTY)),
  sellerContact: group(`${SELLER}/ram:DefinedTradeContact`, CONTACT),
  buyer: mandatory(BUYER, group(BUYER, PARTY)),
  buyerContact: group(`${BUYER}/ram:DefinedTradeContact`, CONTACT),
  allowanceCharges: list(`${SETTLEMENT}/ram:SpecifiedTradeAllowanceCharge`, ALLOWANCE_CHARGE),
  vatBreakdown: some(`${SETTLEMENT}/ram:ApplicableTradeTax`, VAT_BREAKDOWN),
  totals: group('.', TOTALS),
  lines: some(`${TRANSACTION}/ram:IncludedSupplyChainTradeLineItem`, LINE),
}

/** The table by namespace and name of the root element. */
export const CII: Readonly<Record<string, Table>> = { [`${ROOT} CrossIndustryInvoice`]: DOCUMENT }
