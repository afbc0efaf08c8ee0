import { Service, Type } from '../../../../core/index.ts'

/** Answers with what it was given, and with what it gets when it asks itself with texts. */
export default class Orders extends Service {
  static override input = Type.Object({
    id: Type.Integer({ minimum: 1 }),
    amount: Type.Optional(Type.Number()),
    open: Type.Optional(Type.Boolean()),
    size: Type.Optional(Type.Union([Type.Literal(10), Type.Literal(20), Type.Literal('all')])),
    tags: Type.Optional(Type.Array(Type.Integer(), { maxItems: 3 })),
    note: Type.Optional(Type.String()),
    texts: Type.Optional(Type.Boolean()),
  })

  async handle(input: unknown) {
    if ((input as { texts?: boolean }).texts) return this.invoke('orders', { id: '7' })
    return { input, same: input === this.request.payload }
  }
}
