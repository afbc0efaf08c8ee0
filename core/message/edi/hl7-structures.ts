/** Structures of common HL7 messages, a union of the versions 2.3 to 2.8; the segments after MSH. */
import { compileStructure, type Structure } from './structure.ts'

const OBSERVATIONS = 'observations(OBX PRT* NTE*)'

/** By message structure or message type, as in MSH-9. */
export const HL7_STRUCTURES: Readonly<Record<string, string>> = {
  ADT: `
    SFT* UAC EVN PID PD1 ARV* ROL* NK1* MRG PV1 PV2 DB1* OBX* AL1* IAM* DG1* DRG
    procedures(PR1 ROL*) GT1* insurances(IN1 IN2 IN3* ROL*) ACC UB1 UB2 PDA NTE*`,
  ORU_R01: `
    SFT* UAC
    patients(PID PD1 PRT* NTE* NK1* visits(PV1 PV2 PRT*)
      orders(ORC? OBR NTE* PRT* timings(TQ1 TQ2*) CTD ${OBSERVATIONS} FT1* CTI* specimens(SPM OBX*)))
    DSC`,
  ORM_O01: `
    NTE*
    patients(PID PD1 NTE* visits(PV1 PV2) insurances(IN1 IN2 IN3) GT1 AL1*)
    orders(ORC RQD RQ1 RXO RXR* RXC* ODS* ODT* OBR NTE* CTD DG1* ${OBSERVATIONS} FT1* CTI* BLG)`,
}

/** The structure for the components of MSH-9: by structure (third), by type and event, by type. */
export function hl7Structure(
  [type, event, structure]: string[],
  group: boolean | Readonly<Record<string, string>>,
): Structure | undefined {
  if (group === false) return undefined
  const names = [structure!, `${type}_${event}`, type!]
  for (const texts of typeof group === 'object' ? [group, HL7_STRUCTURES] : [HL7_STRUCTURES]) {
    const name = names.find(each => Object.hasOwn(texts, each))
    if (name !== undefined) return compileStructure(texts[name]!)
  }
  return undefined
}
