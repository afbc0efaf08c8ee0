import assert from 'node:assert/strict'
import { test } from 'node:test'
import { validate } from '@readme/openapi-parser'
import type { Static } from '../../core/schema.ts'
import { ADMIN_OPENAPI, adminOpenapi } from './openapi.ts'
import type * as operator from './operator.ts'
import { ADMIN_ROUTES } from './routes.ts'
import type * as views from './views.ts'

interface Described {
  paths: Record<
    string,
    Record<string, { operationId: string; security: object[]; 'x-signalbox-permission'?: string }>
  >
}

test('the description of the admin API is valid OpenAPI 3.1', async () => {
  const result = await validate(structuredClone(ADMIN_OPENAPI) as never)
  assert.deepEqual(result.valid ? [] : result.errors, [])
})

test('it describes every route, and says which permission each needs', () => {
  const { paths } = ADMIN_OPENAPI as Described
  const operations = Object.values(paths).flatMap(item => Object.values(item))
  assert.deepEqual(
    operations.map(operation => operation.operationId).sort(),
    ADMIN_ROUTES.map(r => r.handler).sort(),
  )
  for (const { operationId, security, ...operation } of operations) {
    const { permission } = ADMIN_ROUTES.find(route => route.handler === operationId)!
    assert.equal(operation['x-signalbox-permission'], permission)
    assert.equal(security.length, permission === undefined ? 0 : 1)
  }
})

test('the validator would see a mistake', async () => {
  const broken = JSON.parse(JSON.stringify(adminOpenapi()))
  broken.paths['/v1/node'].get.responses = 7
  assert.equal((await validate(broken)).valid, false)
})

/** Does not compile when a schema and the interface it describes drift apart. */
type Agree<Schema, View> = View extends Schema ? true : never
const VIEWS_AGREE: [
  Agree<Static<typeof views.Health>, operator.HealthView>,
  Agree<Static<typeof views.Services>, operator.ServiceView[]>,
  Agree<Static<typeof views.Deployed>, operator.DeployView>,
  Agree<Static<typeof views.ResourceSchema>, operator.ResourceView>,
  Agree<Static<typeof views.Applied>, operator.ApplyResult>,
  Agree<Static<typeof views.Audit>, operator.AuditView[]>,
  Agree<Static<typeof views.NodeSchema>['workers'], operator.NodeView['workers']>,
] = [true, true, true, true, true, true, true]

test('the schemas of answers agree with the interface of the operator', () => {
  assert.ok(VIEWS_AGREE.every(Boolean))
})
