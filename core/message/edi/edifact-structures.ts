/**
 * Structures of common EDIFACT messages. Each is a union of the directories from D.96A to D.16B, which differ in
 * what they allow but not in the order, so one name finds the same thing in all of them.
 */
const REFERENCES = 'references(RFF DTM*)'
const CONTACTS = 'documents(DOC DTM*) contacts(CTA COM*)'
const FILES = 'files(EFI CED* COM* RFF* DTM* QTY*)'
const RANGES =
  'quantities(QTY RNG) percentages(PCD RNG) amounts(MOA RNG CUX DTM) rates(RTE RNG) taxes(TAX MOA*)'
const REQUIREMENTS = 'requirements(RCS RFF* DTM* FTX*)'
const MARKS = 'marks(PCI RFF* DTM* GIN*)'
const TRANSPORT = 'locations(LOC DTM*)'
const PRICES = 'prices(PRI CUX APR* RNG DTM*)'

/** Invoice; also credit and debit notes. */
const INVOIC = `
  BGM DTM* PAI ALI* IMD* FTX* LOC* GEI* DGS GIR*
  references(RFF DTM* GIR* LOC* MEA* QTY* FTX* MOA* RTE*)
  parties(NAD LOC* FII* MOA* ${REFERENCES} ${CONTACTS})
  taxes(TAX MOA* LOC*)
  currencies(CUX DTM*)
  paymentTerms(PAT? PYT DTM* PCD MOA* PAI FII)
  transports(TDT TSR ${TRANSPORT} ${REFERENCES})
  deliveryTerms(TOD LOC*)
  equipment(EQD SEL*)
  packages(PAC MEA* EQD ${MARKS})
  allowances(ALC ALI* FTX* ${REFERENCES} ${RANGES})
  ${REQUIREMENTS}
  adjustments(AJT FTX*)
  instructions(INP FTX*)
  ${FILES}
  lines(LIN PIA* PGI* IMD* MEA* QTY* PCD* ALI* DTM* GIN* GIR* QVR EQD FTX* DGS
    amounts(MOA CUX)
    paymentTerms(PAT? PYT DTM* PCD* MOA*)
    ${PRICES}
    ${REFERENCES}
    packages(PAC MEA* EQD ${MARKS})
    locations(LOC QTY* DTM*)
    taxes(TAX MOA* LOC*)
    parties(NAD LOC* FII* ${REFERENCES} ${CONTACTS})
    allowances(ALC ALI* DTM* FTX* ${RANGES})
    transports(TDT ${TRANSPORT})
    deliveryTerms(TOD LOC*)
    ${REQUIREMENTS}
    items(GEI RFF* IMD* DTM* GIR* LOC* MEA* QTY* FTX* MOA*)
    ${FILES})
  UNS=S CNT*
  totals(MOA ${REFERENCES})
  taxTotals(TAX MOA*)
  allowanceTotals(ALC ALI MOA* FTX)
`

const SCHEDULES = 'schedules(SCC FTX* RFF* quantities(QTY DTM*))'
const DANGERS = 'dangers(DGS FTX* contacts(CTA COM*))'
const ORDER_EQUIPMENT = 'equipment(EQD HAN* MEA* FTX*)'

/** Purchase order. */
const ORDERS = `
  BGM DTM* PAI ALI* IMD* FTX* GIR*
  ${REFERENCES}
  parties(NAD LOC* FII* ${REFERENCES} ${CONTACTS})
  taxes(TAX MOA* LOC*)
  currencies(CUX PCD* DTM*)
  paymentTerms(PAT? PYT DTM* PCD amounts(MOA GIR* RJL*))
  transports(TDT ${TRANSPORT})
  deliveryTerms(TOD LOC*)
  packages(PAC MEA* ${MARKS})
  ${ORDER_EQUIPMENT}
  ${SCHEDULES}
  priceTerms(APR DTM* RNG)
  allowances(ALC ALI* DTM* ${RANGES})
  ${REQUIREMENTS}
  ${DANGERS}
  ${FILES}
  lines(LIN PIA* IMD* MEA* QTY* PCD* ALI* DTM* MOA* GEI* GIN* GIR* QVR DOC* PAI MTD* FTX*
    characteristics(CCI CAV* MEA*)
    paymentTerms(PAT? PYT DTM* PCD amounts(MOA GIR*))
    ${PRICES}
    references(RFF DTM* GEI* MOA*)
    packages(PAC MEA* QTY* DTM* ${REFERENCES} ${MARKS})
    locations(LOC PCD DTM* quantities(QTY STS*))
    taxes(TAX MOA* LOC*)
    parties(NAD LOC* FII* ${REFERENCES} ${CONTACTS})
    allowances(ALC ALI* DTM* ${RANGES})
    transports(TDT ${TRANSPORT})
    deliveryTerms(TOD LOC*)
    ${ORDER_EQUIPMENT}
    ${SCHEDULES}
    ${REQUIREMENTS}
    stages(STG quantities(QTY MOA))
    ${DANGERS}
    ${FILES})
  UNS=S MOA* CNT*
  allowanceTotals(ALC ALI MOA*)
`

const HANDLING = 'handling(HAN FTX*)'

/** Despatch advice. Packages are a flat list: CPS has the number of the one around it. */
const DESADV = `
  BGM DTM* ALI* MEA* MOA* CUX*
  ${REFERENCES}
  parties(NAD LOC* ${REFERENCES} contacts(CTA COM*))
  deliveryTerms(TOD LOC* FTX*)
  transports(TDT PCD* TMD ${TRANSPORT})
  equipment(EQD MEA* SEL* EQA* ${HANDLING})
  ${FILES}
  consignments(CPS FTX* QVR*
    packages(PAC MEA* QTY* ${HANDLING}
      marks(PCI RFF* DTM* serials(GIR DTM*) numbers(GIN DLM*) containers(COD MEA* QTY* PCD*))
      ${FILES})
    lines(LIN PIA* IMD* MEA* QTY* ALI* GIN* GIR* DLM* DTM* NAD* TDT TMD HAN* FTX* MOA* PAC*
      references(RFF NAD CTA DTM*)
      dangers(DGS QTY FTX*)
      locations(LOC NAD DTM QTY*)
      placements(SGP QTY*)
      marks(PCI DTM* MEA* QTY* numbers(GIN DLM*) handling(HAN FTX* GIN*))
      variances(QVR DTM*)
      ${FILES}))
  CNT*
`

/** By message type, as in UNH. */
export const EDIFACT_STRUCTURES: Readonly<Record<string, string>> = { INVOIC, ORDERS, DESADV }
