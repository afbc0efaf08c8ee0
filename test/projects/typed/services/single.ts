import { Service, Type } from '../../../../core/index.ts'

/** In one worker: the message goes there from the others. */
export default class Single extends Service {
  static override placement = 'singleton' as const
  static override input = Type.Object({ n: Type.Integer() })

  handle(input: unknown) {
    return input
  }
}
