import { Service } from 'signalbox'

const BUILT_IN = [Object, Array, Function, String, Number, Boolean, Map, Set, Promise, Buffer, Error]
const names = (owner: object) => Reflect.ownKeys(owner).map(String).sort().join()
const BEFORE = BUILT_IN.map(type => names(type.prototype))

/** What has changed on the prototypes of built-in classes of this worker since it started. */
export default class Prototypes extends Service {
  handle() {
    const changed = BUILT_IN.filter((type, i) => names(type.prototype) !== BEFORE[i])
    const inherited: string[] = []
    for (const name in {}) inherited.push(name)
    return [...changed.map(({ name }) => name), ...inherited]
  }
}
