/**
 * Writes the JavaScript of an expression. Every name and constant of the expression gets there as a JSON text or as
 * an entry of the pool `K`, so that no expression can write code of its own.
 */
import { boundNames, type Node } from './ast.ts'
import { asCallable, FAST, GUARDED, type LibraryFunction, type NativeDefinition } from './functions.ts'
import { matcher } from './matching.ts'
import { Scope } from './scope.ts'

/** Says which part of the language is left to the package. */
export class Uncovered extends Error {}

/** What the code is written with. */
export interface Library {
  functions: ReadonlyMap<string, LibraryFunction>
  definitions: Readonly<Record<string, NativeDefinition>>
}

/** The body of `(R, K, P, O) => (c0, root, bindings) => value`, and its pool. */
export interface Emitted {
  code: string
  pool: unknown[]
  /** Library functions that the code is bound to. */
  used: ReadonlySet<string>
}

/** Where code is evaluated: the variable with the context, and the frame. */
interface Place {
  context: string
  scope: Scope
}

export function emitProgram(ast: Node, library: Library): Emitted {
  return new Emitter(library).program(ast)
}

class Emitter {
  readonly #library: Library
  readonly #pool: unknown[] = []
  readonly #callables = new Map<string, string>()
  readonly used = new Set<string>()
  #count = 0
  /** The variables of the JavaScript function that is being written. */
  #locals: string[] = []

  constructor(library: Library) {
    this.#library = library
  }

  program(ast: Node): Emitted {
    const scope = new Scope()
    const result = this.#function('c0, root, bindings', () => {
      return `(${[...this.#frame(boundNames(ast), scope), this.value(ast, { context: 'c0', scope })].join(', ')})`
    })
    const constants = this.#pool.map((_, i) => `const k${i} = K[${i}]; `).join('')
    return { code: `'use strict'; ${constants}return ${result}`, pool: this.#pool, used: this.used }
  }

  /** JavaScript for the value of a node: sequences have become values. */
  value(node: Node, place: Place): string {
    let { code, isSequence } = this.#plain(node, place)
    for (const predicate of node.predicate ?? []) {
      code = this.#filter(code, predicate.expr!, place)
      isSequence = true
    }
    if (node.group !== undefined && node.type !== 'path') {
      code = `R.group(${code}, ${this.#pairs(node.group.lhs, place)}, ${node.group.position ?? 0})`
    }
    return isSequence ? `R.settle(${code}, ${node.keepArray === true})` : code
  }

  #plain(node: Node, place: Place): { code: string; isSequence: boolean } {
    const value = (code: string) => ({ code, isSequence: false })
    const sequence = (code: string) => ({ code, isSequence: true })
    // The variables of a path within a path, whose last step is asked for its parent.
    if (node.tuple || node.ancestor) throw new Uncovered('% across parentheses is left to it')
    switch (node.type) {
      case 'path':
        return value(this.#path(node, place))
      case 'binary':
        return node.value === '..' ? sequence(this.#binary(node, place)) : value(this.#binary(node, place))
      case 'unary':
        return value(this.#unary(node, place))
      case 'name':
        return value(this.#name(place.context, node.value))
      case 'string':
      case 'number':
      case 'value':
        return value(literal(node.value))
      case 'wildcard':
        return sequence(`R.wildcard(${place.context})`)
      case 'descendant':
        return sequence(`R.descendants(${place.context})`)
      case 'condition':
        return value(this.#condition(node, place))
      case 'block':
        return value(this.#block(node, place))
      case 'bind':
        return value(`(${place.scope.own((node.lhs as Node).value)} = ${this.value(node.rhs!, place)})`)
      case 'regex':
        if (!(node.value instanceof RegExp))
          throw new Uncovered('a regular expression left of ?: is left to it')
        return value(this.#constant(matcher(node.value)))
      case 'variable':
        return value(this.#variable(node, place))
      case 'function':
        return sequence(this.#call(node, place))
      case 'lambda':
        return value(this.#lambda(node, place))
      case 'partial':
        return value(this.#partial(node, place))
      case 'apply':
        return sequence(this.#apply(node, place))
      case 'transform':
        return value(this.#transform(node, place))
      case 'parent':
        return value(place.scope.read(node.slot!.label, 'undefined'))
      default:
        throw new Uncovered(`what it calls '${node.type}' is left to it`)
    }
  }

  // Paths

  #path(node: Node, place: Place): string {
    const steps = node.steps!
    if (steps.some(step => step.tuple)) return this.#tuplePath(node, place)
    const keep = node.keepSingletonArray === true
    let first = 0
    let start = place.context
    if (steps[0]!.type === 'variable' && steps.length > 1 && isBare(steps[0]!)) {
      start = this.#local()
      first = 1
    }
    let last = first
    while (last < steps.length && steps[last]!.type === 'name' && isBare(steps[last]!)) last++
    const keys = steps.slice(first, last).map(step => step.value as string)
    const assign = first === 0 ? '' : `${start} = ${this.value(steps[0]!, place)}, `
    if (last === steps.length && node.group === undefined)
      return `(${assign}${this.#names(start, keys, keep)})`

    let items = keys.length > 0 ? this.#nameItems(start, keys) : `R.contextItems(${start})`
    if (keys.length === 0 && first === 1) items = `R.itemsOf(${start})`
    else if (keys.length === 0 && steps[0]!.type === 'variable') items = '[undefined]'
    items = `(${assign}${items})`
    for (let i = last; i < steps.length; i++) items = this.#step(steps[i]!, items, i, steps.length, place)
    if (keep) items = `R.keepPath(${items})`
    if (node.group === undefined) return `R.settle(${items}, ${keep || node.keepArray === true})`
    if (keep) items = `R.markKept(${items})`
    return `R.group(${items}, ${this.#pairs(node.group.lhs, place)}, ${node.group.position ?? 0})`
  }

  #step(step: Node, items: string, i: number, count: number, place: Place): string {
    const stages = step.stages ?? []
    if (step.type === 'sort') {
      const terms = step.terms!.map(({ expression, descending }) => {
        return `{ expression: ${this.#closure(expression, place)}, descending: ${descending === true} }`
      })
      const ordered = `R.order(${items}, [${terms.join(', ')}], ${step.position ?? 0})`
      return stages.reduce((code, stage) => this.#filter(code, stage.expr!, place), ordered)
    }
    // An array that is written down first is not gone over item by item.
    if (i === 0 && step.consarray) {
      const context = this.#local()
      return `(${context} = ${items}, ${this.value(step, { ...place, context })})`
    }
    const emit = (inner: Place) =>
      stages.reduce((code, stage) => this.#filter(code, stage.expr!, inner), this.value(step, inner))
    // A variable has its value whatever the item is, and `$` is the whole input, not its wrapping.
    const isFixed = i === 0 && step.type === 'variable'
    const closure = isFixed ? this.#function('', () => emit(place)) : this.#withContext(place, emit)
    return `R.step(${items}, ${closure}, ${i === count - 1})`
  }

  /** A path with `@`, `#` or `%`: from the first of them on, each item carries the variables that are bound. */
  #tuplePath({ steps = [], group, keepSingletonArray = false }: Node, place: Place): string {
    const first = steps.findIndex(step => step.tuple)
    if (group !== undefined) throw new Uncovered('a group of a path with @, # or % is left to it')
    if (steps[0]!.consarray) throw new Uncovered('an array constructor in front of @, # or % is left to it')
    let items = steps[0]!.type === 'variable' ? `[${place.context}]` : `R.contextItems(${place.context})`
    for (const [i, step] of steps.slice(0, first).entries()) {
      items = this.#step(step, items, i, Number.POSITIVE_INFINITY, place)
    }
    const names: string[] = []
    let tuples = steps[first]!.type === 'sort' ? items : `R.tuples(${items})`
    for (const [i, step] of steps.entries()) {
      if (i < first) continue
      tuples =
        step.type === 'sort'
          ? this.#tupleSort(step, tuples, i === first, names, place)
          : this.#tupleStep(step, tuples, i === 0, names, place)
    }
    const result = `R.untuple(${tuples})`
    return `R.settle(${keepSingletonArray ? `R.keepPath(${result})` : result}, ${keepSingletonArray})`
  }

  #tupleStep(step: Node, tuples: string, isFirst: boolean, names: string[], place: Place): string {
    const { stages = [], focus, index, ancestor, tuple: _, ...bare } = step
    const label = ancestor?.label
    // A variable that comes first is not looked for in the item: `$` is the whole input, not its wrapping.
    const closure =
      isFirst && step.type === 'variable'
        ? this.#function('', () => this.value(bare, place))
        : this.#tupleClosure(bare, names, place)
    const bound = [focus, index, label].map(name => (name === undefined ? 'undefined' : literal(name)))
    let code = `R.tupleStep(${tuples}, ${closure}, ${bound.join(', ')})`
    for (const name of [focus, index, label]) if (name !== undefined) names.push(name)
    for (const stage of stages) {
      if (stage.type === 'index') {
        code = `R.indexTuples(${code}, ${literal(stage.value)})`
        names.push(stage.value)
      } else if (stage.expr!.type === 'number') code = `R.at(${code}, ${literal(stage.expr!.value)})`
      else code = `R.filter(${code}, ${this.#tupleClosure(stage.expr!, names, place)})`
    }
    return code
  }

  #tupleSort(step: Node, items: string, isFirst: boolean, names: string[], place: Place): string {
    if (step.stages !== undefined) throw new Uncovered('a filter after order-by and @, # or % is left to it')
    const terms = step.terms!.map(({ expression, descending }) => {
      const closure = isFirst
        ? this.#closure(expression, place)
        : this.#tupleClosure(expression, names, place)
      return `{ expression: ${closure}, descending: ${descending === true} }`
    })
    const ordered = `R.order(${items}, [${terms.join(', ')}], ${step.position ?? 0})`
    if (!isFirst) return ordered
    if (step.index === undefined) throw new Uncovered('@, # and % after order-by are left to it')
    names.push(step.index)
    return `R.indexTuples(R.tuples(${ordered}), ${literal(step.index)})`
  }

  /** A function of a tuple: its item is the context, its variables are bound. */
  #tupleClosure(node: Node, names: readonly string[], place: Place): string {
    const tuple = this.#fresh()
    const scope = new Scope(place.scope)
    for (const name of names) scope.declare(name, `${tuple}[${literal(name)}]`, true)
    return this.#function(tuple, () => {
      const context = this.#local()
      return `(${context} = ${tuple}['@'], ${this.value(node, { context, scope })})`
    })
  }

  /** Own properties one after the other, in line; the first thing that is no plain object goes the long way. */
  #names(start: string, keys: readonly string[], keep: boolean): string {
    const pool = this.#constant(keys)
    const slow = (value: string, at: number) =>
      keep ? `R.keptNames(${value}, ${pool}, ${at})` : `R.names(${value}, ${pool}, ${at})`
    const end = (value: string) =>
      keep
        ? `R.lastName(${value}, true)`
        : `(Array.isArray(${value}) ? R.lastName(${value}, false) : ${value})`
    return this.#load(start, keys, 0, slow, end)
  }

  #nameItems(start: string, keys: readonly string[]): string {
    const pool = this.#constant(keys)
    return this.#load(
      start,
      keys,
      0,
      (value, at) => `R.nameItems(${value}, ${pool}, ${at})`,
      value => `R.itemsOf(${value})`,
    )
  }

  #load(
    value: string,
    keys: readonly string[],
    at: number,
    slow: (value: string, at: number) => string,
    end: (value: string) => string,
  ): string {
    const key = keys[at]!
    if (key in Object.prototype) return slow(value, at)
    const local = this.#local()
    const next = at === keys.length - 1 ? end(local) : this.#load(local, keys, at + 1, slow, end)
    const isPlain = `typeof ${value} === 'object' && ${value} !== null && (${local} = ${value}[${literal(key)}], P(${value}) === O)`
    return `(${isPlain} ? ${next} : ${slow(value, at)})`
  }

  #name(value: string, key: string): string {
    const slow = `R.settle(R.lookup(${value}, ${literal(key)}))`
    if (key in Object.prototype) return slow
    const local = this.#local()
    return `(typeof ${value} === 'object' && ${value} !== null && (${local} = ${value}[${literal(key)}], P(${value}) === O) ? R.settle(${local}) : ${slow})`
  }

  #filter(items: string, predicate: Node, place: Place): string {
    if (predicate.type === 'number') return `R.at(${items}, ${literal(predicate.value)})`
    return `R.filter(${items}, ${this.#closure(predicate, place)})`
  }

  #pairs(pairs: readonly [Node, Node][], place: Place): string {
    const list = pairs.map(pair => `[${pair.map(node => this.#closure(node, place)).join(', ')}]`)
    return `[${list.join(', ')}]`
  }

  // Operators and constructors

  #binary(node: Node, place: Place): string {
    const operator = node.value as string
    const position = node.position ?? 0
    const left = this.value(node.lhs as Node, place)
    const right = this.value(node.rhs!, place)
    if (operator === 'and') return `(R.truth(${left}) && R.truth(${right}))`
    if (operator === 'or') return `(R.truth(${left}) || R.truth(${right}))`
    const a = this.#local()
    const b = this.#local()
    const both = `${a} = ${left}, ${b} = ${right}`
    const areNumbers = `typeof ${a} === 'number' && typeof ${b} === 'number'`
    switch (operator) {
      case '+':
      case '-':
      case '*': {
        const c = this.#local()
        // A result that is no finite number, less itself, is not 0.
        const fast = `${areNumbers} && (${c} = ${a} ${operator} ${b}, ${c} - ${c} === 0)`
        return `(${both}, ${fast} ? ${c} : R.arithmetic(${a}, ${b}, '${operator}', ${position}))`
      }
      case '/':
      case '%':
        return `(${both}, R.arithmetic(${a}, ${b}, '${operator}', ${position}))`
      case '<':
      case '<=':
      case '>':
      case '>=':
        return `(${both}, ${areNumbers} ? ${a} ${operator} ${b} : R.compare(${a}, ${b}, '${operator}', ${position}))`
      case '=':
        return `(${both}, typeof ${a} === 'string' && typeof ${b} === 'string' ? ${a} === ${b} : R.equal(${a}, ${b}))`
      case '!=':
        return `(${both}, R.unequal(${a}, ${b}))`
      case '&':
        return `(${both}, R.concatenate(${a}, ${b}))`
      case 'in':
        return `(${both}, R.includes(${a}, ${b}))`
      case '..':
        return `(${both}, R.range(${a}, ${b}, ${position}))`
      default:
        throw new Uncovered(`the operator ${operator} is left to it`)
    }
  }

  #unary(node: Node, place: Place): string {
    if (node.value === '-') return `R.negate(${this.value(node.expression!, place)}, ${node.position ?? 0})`
    if (node.value === '{') return this.#object(node, place)
    if (node.value !== '[') throw new Uncovered(`the operator ${node.value} is left to it`)
    const array = this.#local()
    const items = node.expressions!.map(item => {
      const value = this.#local()
      const add = item.value === '[' ? `${array}.push(${value})` : `R.add(${array}, ${value})`
      return `(${value} = ${this.value(item, place)}) !== undefined && ${add}`
    })
    const result = node.consarray ? `R.constructed(${array})` : array
    return `(${[`${array} = []`, ...items, result].join(', ')})`
  }

  #object(node: Node, place: Place): string {
    const pairs = node.lhs as [Node, Node][]
    const keys = pairs.map(([key]) =>
      key.type === 'string' && isBare(key) ? (key.value as string) : undefined,
    )
    const isFixed =
      !keys.some(key => key === undefined || RESERVED_KEYS.has(key)) && new Set(keys).size === keys.length
    if (!isFixed) return `R.group(${place.context}, ${this.#pairs(pairs, place)}, ${node.position ?? 0})`
    const context = this.#local()
    const object = this.#local()
    const entries = pairs.map(([, value], i) => {
      const local = this.#local()
      const code = this.value(value, { ...place, context })
      return `(${local} = ${code}) !== undefined && (${object}[${literal(keys[i])}] = ${local})`
    })
    const outer = place.context
    const data = `${context} = Array.isArray(${outer}) ? R.grouped(${outer}) : ${outer}`
    return `(${[data, `${object} = {}`, ...entries, object].join(', ')})`
  }

  #condition(node: Node, place: Place): string {
    const otherwise = node.else === undefined ? 'undefined' : this.value(node.else, place)
    return `(R.truth(${this.value(node.condition!, place)}) ? ${this.value(node.then!, place)} : ${otherwise})`
  }

  #block(node: Node, place: Place): string {
    const scope = new Scope(place.scope)
    const names = new Set<string>()
    for (const expression of node.expressions!) {
      if (expression.type !== 'block' && expression.type !== 'lambda') boundNames(expression, names)
    }
    const parts = this.#frame(names, scope)
    for (const expression of node.expressions!) {
      parts.push(this.value(expression, { ...place, scope }))
      if (expression.type === 'bind') scope.settle((expression.lhs as Node).value)
    }
    return parts.length === 0 ? 'undefined' : `(${parts.join(', ')})`
  }

  /** Declares the variables of a frame. */
  #frame(names: Iterable<string>, scope: Scope): string[] {
    return Array.from(names, name => {
      const js = this.#local()
      scope.declare(name, js, false)
      return `${js} = R.UNBOUND`
    })
  }

  // Variables and functions

  #variable(node: Node, place: Place): string {
    const name = node.value as string
    if (name === '') return place.context === 'c0' ? 'R.unwrap(c0)' : place.context
    if (name === '$') return place.scope.read('$', 'root')
    return place.scope.read(name, this.#free(name))
  }

  #free(name: string): string {
    if (name === 'eval') throw new Uncovered('$eval is left to it')
    const call = this.#library.functions.get(name)
    if (call === undefined) return `R.bound(bindings, ${literal(name)})`
    let code = this.#callables.get(name)
    if (code === undefined) {
      const arity = this.#library.definitions[name]?.implementation.length ?? 0
      code = this.#constant(asCallable(call, arity))
      this.#callables.set(name, code)
      this.used.add(name)
    }
    return code
  }

  #call(node: Node, place: Place, first?: string): string {
    const { context, scope } = place
    const procedure = node.procedure!
    const args = [
      ...(first === undefined ? [] : [first]),
      ...node.arguments!.map(arg => this.value(arg, place)),
    ]
    const name = this.#libraryName(procedure, scope)
    if (name !== undefined) return this.#libraryCall(name, args, node, place)
    const position = node.position ?? 0
    const callable = this.#local()
    const read = `${callable} = ${this.value(procedure, place)}`
    if (procedure.type !== 'path')
      return `(${read}, R.invoke(${callable}, [${args.join(', ')}], ${context}, ${position}))`
    const forgotten = this.#isKnown(procedure.steps![0]!.value, scope)
    return `(${read}, R.invokePath(${callable}, [${args.join(', ')}], ${context}, ${position}, ${forgotten}))`
  }

  #libraryName(procedure: Node, scope: Scope): string | undefined {
    if (procedure.type !== 'variable' || !isBare(procedure)) return undefined
    const name = procedure.value as string
    if (scope.has(name)) return undefined
    if (name === 'eval') throw new Uncovered('$eval is left to it')
    return this.#library.functions.has(name) ? name : undefined
  }

  #isKnown(name: string, scope: Scope): boolean {
    return scope.has(name) || this.#library.functions.has(name)
  }

  #libraryCall(name: string, args: readonly string[], { position = 0 }: Node, { context }: Place): string {
    this.used.add(name)
    if (args.length === 1 && Object.hasOwn(FAST, name)) return `R.FAST.${name}(${args[0]})`
    const call = this.#constant(this.#library.functions.get(name))
    const slow = (values: readonly string[]) =>
      `R.callLibrary(${call}, ${context}, [${values.join(', ')}], ${position}, ${literal(name)})`
    if (args.length === 0 || !Object.hasOwn(GUARDED, name)) return slow(args)
    const locals = args.map(() => this.#local())
    const result = this.#local()
    const values = args.map((arg, i) => `${locals[i]} = ${arg}`)
    const fast = args.length > GUARDED[name]!.length ? 'R.SLOW' : `R.GUARDED.${name}(${locals.join(', ')})`
    return `(${[...values, `${result} = ${fast}`].join(', ')}, ${result} !== R.SLOW ? ${result} : ${slow(locals)})`
  }

  #lambda(node: Node, place: Place): string {
    if (node.thunk) return this.#tailCall(node.body!, place)
    const scope = new Scope(place.scope)
    const parameters = node.arguments!.map(({ value }) => {
      const js = this.#fresh()
      scope.declare(value, js, true)
      return js
    })
    const body = node.body!
    const own = new Set(body.type === 'block' || body.type === 'lambda' ? [] : boundNames(body))
    for (const { value } of node.arguments!) own.delete(value)
    const code = this.#function(parameters.join(', '), () => {
      return `(${[...this.#frame(own, scope), this.value(body, { ...place, scope })].join(', ')})`
    })
    return node.signature === undefined ? code : `R.signed(${code}, ${this.#constant(node.signature)})`
  }

  #tailCall(call: Node, place: Place): string {
    const procedure = call.procedure!
    const isPlain = call.group === undefined && procedure.type === 'variable'
    if (!isPlain || this.#libraryName(procedure, place.scope) !== undefined) return this.value(call, place)
    const args = call.arguments!.map(arg => this.value(arg, place))
    const callable = this.value(procedure, place)
    return `new R.TailCall(${callable}, [${args.join(', ')}], ${place.context}, ${call.position ?? 0})`
  }

  #partial(node: Node, place: Place): string {
    const args = node.arguments!.map(arg => {
      return arg.type === 'operator' && arg.value === '?' ? 'R.HOLE' : this.value(arg, place)
    })
    const procedure = node.procedure!
    const forgotten = procedure.type === 'path' && this.#isKnown(procedure.steps![0]!.value, place.scope)
    const callable = this.value(procedure, place)
    return `R.partial(${callable}, [${args.join(', ')}], ${node.position ?? 0}, ${forgotten})`
  }

  #apply(node: Node, place: Place): string {
    const left = this.#local()
    const read = `${left} = ${this.value(node.lhs as Node, place)}`
    const right = node.rhs!
    if (right.type === 'function') return `(${read}, ${this.#call(right, place, left)})`
    return `(${read}, R.applyTo(${left}, ${this.value(right, place)}, ${node.position ?? 0}))`
  }

  #transform(node: Node, place: Place): string {
    if (place.scope.has('clone')) throw new Uncovered('a transform with a $clone of its own is left to it')
    const parts = [node.pattern, node.update, node.delete].map(part => {
      return part === undefined ? 'undefined' : this.#closure(part, place)
    })
    const clone = this.#constant(this.#library.functions.get('clone'))
    return `R.transform(${clone}, ${parts.join(', ')}, ${node.position ?? 0})`
  }

  // Code

  /** A function of the context. */
  #closure(node: Node, place: Place): string {
    return this.#withContext(place, inner => this.value(node, inner))
  }

  #withContext(place: Place, emit: (inner: Place) => string): string {
    const context = this.#fresh()
    return this.#function(context, () => emit({ ...place, context }))
  }

  #function(parameters: string, emit: () => string): string {
    const outer = this.#locals
    this.#locals = []
    const result = emit()
    const locals = this.#locals.length === 0 ? '' : `let ${this.#locals.join(', ')}; `
    this.#locals = outer
    return `(${parameters}) => { ${locals}return ${result} }`
  }

  #local(): string {
    const name = this.#fresh()
    this.#locals.push(name)
    return name
  }

  #fresh(): string {
    return `v${this.#count++}`
  }

  #constant(value: unknown): string {
    return `k${this.#pool.push(value) - 1}`
  }
}

const RESERVED_KEYS = new Set<string | undefined>(['__proto__', '_jsonata_lambda', '_jsonata_function'])

/** Whether a node has nothing beside what it is. */
function isBare(node: Node): boolean {
  return (
    node.stages === undefined &&
    node.predicate === undefined &&
    node.group === undefined &&
    !node.keepArray &&
    !node.tuple &&
    !node.focus &&
    !node.index &&
    !node.ancestor
  )
}

function literal(value: unknown): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : value < 0 ? `(${value})` : String(value)
  return JSON.stringify(value)
}
