import { service, Type } from '../../../../core/index.ts'

export default service({
  input: Type.Object({ count: Type.Integer(), agreed: Type.Boolean(), parts: Type.Array(Type.Number()) }),
  handle: input => input,
})
