import { Service, SignalboxError, Type } from 'signalbox'

const Order = Type.Object({
  id: Type.Integer(),
  region: Type.String({ pattern: '^[a-z]+$' }),
  lines: Type.Array(Type.Object({ quantity: Type.Integer(), price: Type.Number() }), { minItems: 1 }),
})

/** Makes an invoice of an order. The order is acknowledged when the broker has the invoice. */
export default class Invoice extends Service<Type.Static<typeof Order>> {
  static override input = Order

  async handle(order: Type.Static<typeof Order>) {
    const total = order.lines.reduce((sum, { quantity, price }) => sum + quantity * price, 0)
    if (total < 0) throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED', 'an order cannot be below zero')
    await this.connection('invoices').send({
      payload: { order: order.id, total },
      attributes: {
        routingKey: `${order.region}.invoice`,
        type: 'invoice',
        messageId: `invoice-${order.id}`,
      },
    })
    return { invoiced: total }
  }
}
