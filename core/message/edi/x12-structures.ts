/** Structures of common X12 transaction sets, a union of the versions 4010 to 8010. Loops have names for their content. */
const PARTY = 'N1 N2* N3* N4* REF* PER* SI* FOB SCH* TD1* TD5* TD3* TD4* PKG* DMG*'
const CHARGES = 'allowances(SAC CUR TXI*)'

/** Invoice. */
const INVOICE = `
  BIG NTE* CUR REF* YNQ* PER* parties(${PARTY}) ITD* DTM* FOB PID* MEA* PWK* PKG* L7* BAL* INC PAM* CRC*
  codes(LM LQ*) identities(N9 MSG*) vehicles(V1 R4* DTM*) financing(FA1 FA2*)
  lines(IT1 CRC* QTY* CUR IT3* TXI* CTP* PAM* MEA*
    descriptions(PID MEA*) PWK* PKG* PO4* ITD* REF* YNQ* PER* SDQ* DTM* CAD* L7* SR*
    ${CHARGES}
    items(SLN DTM* REF* PID* SAC* TC2* TXI*)
    parties(${PARTY})
    codes(LM LQ*) vehicles(V1 R4* DTM*) financing(FA1 FA2*))
  TDS TXI* CAD AMT* totals(SAC TXI*) shipments(ISS PID*) CTT
`

/** Purchase order. */
const ORDER = `
  BEG CUR REF* PER* TAX* FOB* CTP* PAM* CSH* TC2* ${CHARGES} ITD* DIS* INC* DTM* LDT* LIN* SI* PID* MEA* PWK*
  PKG* TD1* TD5* TD3* TD4* MAN* PCT* CTB* TXI* codes(LM LQ*) amounts(AMT REF* DTM* PCT*)
  identities(N9 DTM* MSG*) parties(${PARTY} MSG*)
  lines(PO1 LIN* SI* CUR CN1 PO3* prices(CTP CUR) PAM* MEA*
    descriptions(PID MEA*) PWK* PO4* REF* PER* ${CHARGES} IT8* CSH* ITD* DIS* INC* TAX* FOB* SDQ* IT3* DTM* TC2*
    TD1* TD5* TD3* TD4* PCT* MAN* MSG* SPI* TXI* CTB* quantities(QTY SI*) schedules(SCH TD1* TD5* REF*)
    packages(PKG MEA*) leadTimes(LDT QTY* MSG* REF*) codes(LM LQ*) identities(N9 DTM* MEA* MSG*)
    parties(${PARTY})
    items(SLN MSG* SI* PID* PO3* TC2* ADV* DTM* CTP* PAM* PO4* TAX*))
  summary(CTT AMT*)
`

/** Ship notice. Levels are a flat list: HL02 has the number of the one around it. */
const SHIP_NOTICE = `
  BSN DTM*
  levels(HL LIN SN1 SLN* PRF PO4* PID* MEA* PWK* PKG* TD1* TD5* TD3* TD4* TSD REF* PER* LH1* CLD* MAN* DTM* FOB
    PAL CUR SAC* ITD* NTE* TXI* parties(${PARTY}) schedules(SDQ) codes(LM LQ*) vehicles(V1 R4* DTM*))
  CTT
`

/** By transaction set identifier, as in ST. */
export const X12_STRUCTURES: Readonly<Record<string, string>> = {
  '810': INVOICE,
  '850': ORDER,
  '856': SHIP_NOTICE,
}
