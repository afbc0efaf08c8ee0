import { service, Type } from 'signalbox'

const Line = Type.Object({ sku: Type.String(), quantity: Type.Integer(), price: Type.Number() })

export default service({
  input: Type.Object({ id: Type.Integer(), customer: Type.String(), lines: Type.Array(Line) }),
  output: Type.Object({ id: Type.Integer(), total: Type.Number() }),
  handle: ({ id, lines }) => ({
    id,
    total: lines.reduce((sum, { quantity, price }) => sum + quantity * price, 0),
  }),
})
