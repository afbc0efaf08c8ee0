/** Files that are saved below a project while its node runs: deployed, recorded, or refused by the policy. */
import type { Deployer } from '../actors/deployer.ts'
import type { Logger } from '../core/telemetry/log.ts'
import type { Acts, Doer } from './acts.ts'
import type { PolicyGuard } from './policy.ts'

/** Nobody knows who saved a file. */
const FILE_SYSTEM: Doer = { who: 'file-system' }
const WHAT = 'service.deploy'

export interface SavedFilesParts {
  deployer: Pick<Deployer, 'sync' | 'refresh'>
  guard: PolicyGuard
  /** Where there is no state nothing is recorded. */
  acts: Acts | undefined
  log: Logger
}

export class SavedFiles {
  readonly #parts: SavedFilesParts

  constructor(parts: SavedFilesParts) {
    this.#parts = parts
  }

  /** Makes the node run what was saved; paths are relative to the project. Never rejects: failures are logged. */
  async saved(units: readonly string[], others: readonly string[]): Promise<void> {
    const { deployer, guard, log } = this.#parts
    const files = [...others, ...units]
    try {
      if (!guard.takesCode) {
        await this.#refuse(files)
        return
      }
      if (others.length > 0) {
        // Fresh workers load the services as they are now, too; what of that is new, sync finds and tells.
        const result = await deployer.refresh()
        await this.#record('workers', undefined, { files: others }, result)
      }
      for (const { kind, file, before, after, result } of await deployer.sync()) {
        const version = (value: string | undefined) =>
          value === undefined ? undefined : { file, version: value }
        await this.#record(`${kind}-file/${file}`, version(before), version(after), result)
      }
    } catch (error) {
      log.error({ err: error, files }, 'what was saved could not be deployed or recorded')
    }
  }

  async #refuse(files: readonly string[]): Promise<void> {
    this.#parts.log.warn(
      { code: 'SIGNALBOX_POLICY_REFUSED', files },
      'not deployed: the security policy refuses code while the node runs. Workers that start later load what is ' +
        'there: put it back, or start the node again. To take code: policy: { codeDeployment: warned }',
    )
    for (const file of files)
      await this.#record(`file/${file}`, undefined, undefined, 'SIGNALBOX_POLICY_REFUSED')
  }

  async #record(target: string, before: object | undefined, after: object | undefined, result: string) {
    await this.#parts.acts?.record({ ...FILE_SYSTEM, what: WHAT, target, before, after, result })
  }
}
