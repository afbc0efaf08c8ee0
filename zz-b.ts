import { readFileSync } from 'node:fs'
import { XMLParser } from 'fast-xml-parser'
import { parseXml } from '/work/wt/message/core/message/xml-parse.ts'
const files = ['ubl-tc434-example4.xml', 'ubl-tc434-example1.xml', 'CII_example5.xml']
for (const f of files) {
  const b = readFileSync('/work/shared/data/en16931/' + f); const s = b.toString()
  const fxp = new XMLParser({ ignoreAttributes: false, parseTagValue: false })
  const js = JSON.stringify(fxp.parse(s))
  const t = (fn: () => void, n: number) => { const a = performance.now(); for (let i = 0; i < n; i++) fn(); return n / (performance.now() - a) * 1000 }
  for (let r = 0; r < 3; r++) {
    const a = t(() => parseXml(b), 3000), j = t(() => JSON.parse(js), 3000), x = t(() => fxp.parse(s), 300)
    console.log(f, b.length, js.length, 'ours', a | 0, 'json', j | 0, 'fxp', x | 0, 'vs json', (a / j).toFixed(2), 'vs fxp', (a / x).toFixed(1))
  }
}
