import { service, Type } from '../../../../core/index.ts'

export default service({
  input: Type.Object({
    fields: Type.Object({ count: Type.Integer() }),
    files: Type.Array(Type.Object({ filename: Type.String(), bytes: Type.Integer() })),
  }),
  handle: ({ fields, files }) => ({
    fields,
    files: files.map(({ filename, bytes }) => ({ filename, bytes })),
  }),
})
