import assert from 'node:assert/strict'
import { test } from 'node:test'
import { validate } from '@readme/openapi-parser'
import type { Static } from '../../core/schema.ts'
import type { KeptMessageView, MessageHeadView, Page } from '../messages/log-admin.ts'
import type { LogView } from '../messages/log-view.ts'
import type { ScheduleRun } from '../schedules/schedule.ts'
import type { PublishedView, ScheduleStateView } from './kept-operator.ts'
import type * as keptViews from './kept-views.ts'
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

/** As JSON has it: what is undefined is left out. */
type Plain<T> = T extends readonly (infer Item)[]
  ? Plain<Item>[]
  : T extends object
    ? { [K in keyof T as undefined extends T[K] ? never : K]: Plain<T[K]> } & {
        [K in keyof T as undefined extends T[K] ? K : never]?: Plain<Exclude<T[K], undefined>>
      }
    : T

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
  Agree<Static<typeof keptViews.Logs>, Plain<LogView[]>>,
  Agree<Static<typeof keptViews.MessageHeads>, Plain<Page<MessageHeadView>>>,
  Agree<Static<typeof keptViews.Messages>, Plain<Page<KeptMessageView>>>,
  Agree<Static<typeof keptViews.Published>, PublishedView>,
  Agree<Static<typeof keptViews.Runs>, Plain<ScheduleRun[]>>,
  Agree<Static<typeof keptViews.Schedules>, Plain<ScheduleStateView[]>>,
] = [true, true, true, true, true, true, true, true, true, true, true, true, true]

test('the schemas of answers agree with the interface of the operator', () => {
  assert.ok(VIEWS_AGREE.every(Boolean))
})
