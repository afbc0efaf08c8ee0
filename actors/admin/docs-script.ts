/** Script of the docs page. Everything from the document reaches the page as text, never as HTML. */
export const DOCS_SCRIPT = String.raw`
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']
const MAX_DEPTH = 5
const $ = id => document.getElementById(id)
let api = {}
let token = ''

function el(tag, attributes, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value)
    else if (value === true) node.setAttribute(name, '')
    else if (value !== false && value !== undefined) node.setAttribute(name, String(value))
  }
  node.append(...children.flat().filter(child => child !== undefined && child !== ''))
  return node
}

function own(object, name) {
  return object !== null && typeof object === 'object' && Object.hasOwn(object, name) ? object[name] : undefined
}

function resolve(schema) {
  for (let steps = 0; typeof schema?.$ref === 'string' && steps < 16; steps++) {
    const parts = schema.$ref.split('/').slice(1)
    schema = parts.reduce((at, part) => own(at, decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')), api)
  }
  return schema ?? {}
}

function typeName(given) {
  const schema = resolve(given)
  if (schema === true || schema === false) return schema ? 'anything' : 'nothing'
  if ('const' in schema) return JSON.stringify(schema.const)
  if (Array.isArray(schema.enum)) return schema.enum.map(value => JSON.stringify(value)).join(' | ')
  const choices = schema.anyOf ?? schema.oneOf
  if (Array.isArray(choices)) return choices.map(typeName).join(' | ')
  const type = [schema.type ?? (schema.properties ? 'object' : 'anything')].flat().join(' | ')
  const name = /^#\/components\/schemas\/([\w.-]+)$/.exec(given?.$ref ?? '')?.[1]
  if (type === 'object' && name !== undefined) return name
  return type === 'array' ? 'array of ' + typeName(schema.items ?? true) : type
}

const LIMITS = ['format', 'pattern', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'minLength',
  'maxLength', 'minItems', 'maxItems', 'multipleOf', 'default']

function limitsOf(given) {
  const schema = resolve(given)
  return LIMITS.filter(name => own(schema, name) !== undefined).map(name => name + ': ' + JSON.stringify(schema[name])).join(', ')
}

/** The fields of a schema as rows: path, type, whether it is needed, what it means. */
function rowsOf(given, path, depth, rows) {
  const schema = resolve(given)
  for (const part of Array.isArray(schema.allOf) ? schema.allOf : []) rowsOf(part, path, depth + 1, rows)
  const required = Array.isArray(schema.required) ? schema.required : []
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const place = path === '' ? name : path + '.' + name
    rows.push([place, property, required.includes(name)])
    if (depth < MAX_DEPTH) rowsOf(property, place, depth + 1, rows)
  }
  if (schema.items && depth < MAX_DEPTH) rowsOf(schema.items, path + '[]', depth + 1, rows)
  return rows
}

function table(caption, heads, rows) {
  return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    el('table', {}, el('thead', {}, el('tr', {}, heads.map(head => el('th', { scope: 'col' }, head)))),
      el('tbody', {}, rows.map(row => el('tr', {}, row.map(cell => el('td', {}, cell)))))))
}

function fieldRow(name, schema, isRequired) {
  const description = resolve(schema).description ?? ''
  return [el('code', {}, name), typeName(schema), isRequired ? 'yes' : 'no',
    [description, limitsOf(schema)].filter(Boolean).join('; ')]
}

function schemaView(caption, schema) {
  const rows = rowsOf(schema, '', 0, [])
  const type = el('p', {}, 'Type: ', el('code', {}, typeName(schema)), ' ' + limitsOf(schema))
  if (rows.length === 0) return [type]
  return [type, table(caption, ['Field', 'Type', 'Needed', 'Meaning'], rows.map(row => fieldRow(...row)))]
}

function exampleOf(given, depth = 0) {
  const schema = resolve(given)
  if (depth > MAX_DEPTH || schema === true) return null
  if (Array.isArray(schema.examples) && schema.examples.length > 0) return schema.examples[0]
  for (const name of ['example', 'default', 'const']) if (own(schema, name) !== undefined) return schema[name]
  if (Array.isArray(schema.enum)) return schema.enum[0]
  const choice = (schema.anyOf ?? schema.oneOf)?.[0]
  if (choice !== undefined) return exampleOf(choice, depth + 1)
  if (Array.isArray(schema.allOf)) return Object.assign({}, ...schema.allOf.map(part => exampleOf(part, depth + 1)))
  const type = [schema.type ?? (schema.properties ? 'object' : 'null')].flat()[0]
  if (type === 'object') {
    return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, one]) => [name, exampleOf(one, depth + 1)]))
  }
  if (type === 'array') return schema.items === undefined ? [] : [exampleOf(schema.items, depth + 1)]
  if (type === 'string') return { date: '2026-01-31', 'date-time': '2026-01-31T12:00:00Z', email: 'ann@example.com',
    uuid: '00000000-0000-4000-8000-000000000000', uri: 'https://example.com/' }[schema.format] ?? 'text'
  return { integer: schema.minimum ?? 1, number: schema.minimum ?? 1, boolean: true }[type] ?? null
}

function bodyType(operation) {
  const types = Object.keys(operation.requestBody?.content ?? {})
  return types.includes('application/json') ? 'application/json' : types[0]
}

const quote = text => "'" + text.replaceAll("'", "'\\''") + "'"

function credentialFlags(operation) {
  const names = Object.keys(operation.security?.[0] ?? {})
  return names.flatMap(name => {
    const scheme = own(api.components?.securitySchemes, name) ?? {}
    if (scheme.type === 'apiKey' && scheme.in === 'header') return ['-H ' + quote(scheme.name + ': KEY')]
    if (scheme.type === 'apiKey' && scheme.in === 'cookie') return ['-b ' + quote(scheme.name + '=KEY')]
    if (scheme.scheme === 'basic') return ['-u USER:PASSWORD']
    if (scheme.scheme === 'bearer') return ['-H ' + quote('authorization: Bearer TOKEN')]
    return scheme.type === 'mutualTLS' ? ['--cert CLIENT.pem --key CLIENT.key'] : []
  })
}

function curlOf(method, path, operation, values, body) {
  const of = place => (operation.parameters ?? []).filter(parameter => parameter.in === place)
  let url = path
  for (const { name, ...parameter } of of('path')) {
    const value = values.get(name) || '{' + name + '}'
    const encode = text => text.startsWith('{') ? text : encodeURIComponent(text)
    url = url.replace('{' + name + '}', () => parameter['x-signalbox-wildcard'] ? value.split('/').map(encode).join('/') : encode(value))
  }
  const query = new URLSearchParams(of('query').filter(({ name }) => values.get(name)).map(({ name }) => [name, values.get(name)]))
  if (String(query) !== '') url += '?' + query
  const type = bodyType(operation)
  const sent = type === undefined || body === '' ? [] :
    [...(type === '*/*' ? [] : ['-H ' + quote('content-type: ' + type)]), '--data-binary ' + quote(body)]
  return ['curl -X ' + method.toUpperCase(), ...credentialFlags(operation), ...sent,
    quote((operation.servers?.[0]?.url ?? '') + url)].join(' \\\n  ')
}

async function read(response) {
  const text = await response.text()
  try { return JSON.stringify(JSON.parse(text), null, 2) } catch { return text }
}

/** The form of an operation: fields, the curl command they make, and a call of the service itself. */
function tryIt(method, path, operation, id) {
  const inputs = new Map()
  const fields = el('div', { class: 'fields' })
  for (const { name, schema, required } of (operation.parameters ?? [])) {
    const input = el('input', { id: id + '-' + inputs.size, required: required === true, placeholder: typeName(schema) })
    inputs.set(name, input)
    fields.append(el('label', { for: input.id }, name + (required ? ' (needed)' : '')), input)
  }
  const type = bodyType(operation)
  const area = type === undefined ? undefined : el('textarea', { id: id + '-body', spellcheck: 'false' })
  if (area) {
    const example = exampleOf(operation.requestBody.content[type].schema)
    area.value = example === null ? '' : type.endsWith('json') ? JSON.stringify(example, null, 2) : typeof example === 'string' ? example : ''
    fields.append(el('label', { for: area.id }, 'Body (' + type + ')'), area)
  }
  const curl = el('pre', { tabindex: 0, 'aria-label': 'curl command' })
  const output = el('pre', { tabindex: 0, hidden: true, 'aria-label': 'Answer' })
  const status = el('span', { role: 'status', class: 'muted' })
  const values = () => new Map([...inputs].map(([name, input]) => [name, input.value]))
  const update = () => { curl.textContent = curlOf(method, path, operation, values(), area?.value ?? '') }
  const copy = async () => {
    await navigator.clipboard.writeText(curl.textContent)
    status.textContent = 'Copied.'
  }
  const call = async event => {
    event.preventDefault()
    status.textContent = 'Calling...'
    try {
      const response = await fetch('/v1/services/' + encodeURIComponent(operation['x-signalbox-service']) + '/invoke', {
        method: 'POST',
        headers: { authorization: 'Bearer ' + token, 'content-type': 'application/json' },
        body: payloadOf(type, values(), area?.value ?? ''),
      })
      status.textContent = 'Status ' + response.status
      output.textContent = await read(response)
      output.hidden = false
    } catch (error) {
      status.textContent = String(error.message)
    }
  }
  const invoke = operation['x-signalbox-service'] === undefined ? undefined : el('button', { type: 'submit' }, 'Call the service')
  const form = el('form', { onsubmit: call, oninput: update }, fields,
    el('div', { class: 'actions' }, invoke, el('button', { type: 'button', class: 'quiet', onclick: copy }, 'Copy curl command'), status),
    invoke && el('p', { class: 'muted' }, 'Calls the service through the admin API, with your token (permission service.invoke). The command below goes through the channel.'),
    curl, output)
  update()
  return form
}

/** What the channel would make the payload: the body, or the parameters where there is none. */
function payloadOf(type, values, body) {
  if (type === undefined) return JSON.stringify(Object.fromEntries([...values].filter(([, value]) => value !== '')))
  return type.endsWith('json') ? body : JSON.stringify(body)
}

function responsesView(operation) {
  const rows = Object.entries(operation.responses ?? {}).map(([status, response]) => {
    const kinds = Object.entries(response.content ?? {}).map(([type, media]) => type + ': ' + typeName(media.schema ?? true))
    return [el('code', {}, status), response.description ?? '', kinds.join(', ')]
  })
  const answer = Object.values(operation.responses?.['200']?.content ?? {})[0]?.schema
  return [el('h3', {}, 'Answers'), table('Answers', ['Status', 'Meaning', 'Content'], rows),
    ...(answer === undefined ? [] : [el('h3', {}, 'Answer 200'), ...schemaView('Answer 200', answer)]),
    ...(answer === undefined || exampleOf(answer) === null ? [] : [el('p', {}, 'Example:'), el('pre', { tabindex: 0 }, JSON.stringify(exampleOf(answer), null, 2))])]
}

function operationView(method, path, operation, id) {
  const parameters = operation.parameters ?? []
  const type = bodyType(operation)
  const body = el('div', {})
  const details = el('details', { class: 'operation', id }, el('summary', {}, el('span', { class: 'method ' + method }, method.toUpperCase()),
    el('code', {}, path), operation.summary ? el('span', { class: 'muted' }, operation.summary) : ''), body)
  // Filled when it is opened for the first time: a node may have hundreds of operations.
  details.addEventListener('toggle', () => {
    if (body.hasChildNodes()) return
    body.append(
      el('p', { class: 'muted' }, 'Served at ' + (operation.servers ?? []).map(server => server.url).join(', ')),
      ...(parameters.length === 0 ? [] : [el('h3', {}, 'Parameters'), table('Parameters', ['Name', 'Type', 'Needed', 'Meaning'],
        parameters.map(({ name, in: place, schema, required }) => fieldRow(name + ' (' + place + ')', schema, required)))]),
      ...(type === undefined ? [] : [el('h3', {}, 'Body'), ...schemaView('Body', operation.requestBody.content[type].schema ?? true)]),
      ...responsesView(operation), el('h3', {}, 'Try it'), tryIt(method, path, operation, id))
  })
  return details
}

function show() {
  $('title').textContent = api.info?.title ?? 'API of the channels'
  $('about').textContent = [api.info?.version && 'Version ' + api.info.version, api.info?.description].filter(Boolean).join('. ')
  const groups = new Map()
  let count = 0
  for (const [path, item] of Object.entries(api.paths ?? {})) {
    for (const method of METHODS.filter(name => own(item, name))) {
      const operation = item[method]
      const tag = operation.tags?.[0] ?? 'other'
      groups.set(tag, [...(groups.get(tag) ?? []), { method, path, operation, id: 'operation-' + count++ }])
    }
  }
  $('operations').replaceChildren(...[...groups].map(([tag, all]) => el('section', {}, el('h2', {}, tag),
    all.map(({ method, path, operation, id }) => operationView(method, path, operation, id)))))
  if (count === 0) $('operations').append(el('p', {}, 'No HTTP channel has a route to a service.'))
  $('index').replaceChildren(...[...groups].map(([tag, all]) => el('section', {}, el('h2', {}, tag), el('ul', {},
    all.map(({ method, path, id }) => el('li', {}, el('a', { href: '#' + id, onclick: () => { $(id).open = true } },
      el('span', { class: 'method ' + method }, method.toUpperCase()), el('span', {}, path))))))))
  $('columns').hidden = false
  if (count > 0) $('operation-0').open = true
}

function filter() {
  const wanted = $('filter').value.toLowerCase()
  for (const root of [$('index'), $('operations')]) {
    for (const section of root.querySelectorAll('section')) {
      const title = section.querySelector('h2').textContent.toLowerCase()
      const items = [...section.querySelectorAll('li, details.operation')]
      for (const item of items) {
        const text = (item.querySelector('summary, a').textContent).toLowerCase()
        item.hidden = !title.includes(wanted) && !text.includes(wanted)
      }
      section.hidden = items.every(item => item.hidden)
    }
  }
}

async function load() {
  $('trouble').hidden = true
  try {
    const response = await fetch('/v1/openapi.json', { headers: { authorization: 'Bearer ' + token } })
    const answer = await response.json()
    if (!response.ok) throw new Error([answer.detail, answer.fix].filter(Boolean).join(' - '))
    api = answer
    show()
  } catch (error) {
    $('trouble').textContent = 'The document could not be loaded: ' + error.message
    $('trouble').hidden = false
  }
}

$('access').addEventListener('submit', event => {
  event.preventDefault()
  token = $('token').value.trim()
  load()
})
$('filter').addEventListener('input', filter)
// A fragment stays in the browser: /docs#token=... works, and does not stay in the history.
const given = new URLSearchParams(location.hash.slice(1)).get('token')
if (given) {
  token = given
  history.replaceState(null, '', location.pathname)
  load()
}
`
