// Converts the description of a running server's API to a Postman collection, as Postman imports it, and sends every request of it
// as it was generated: URL FILE IDS. FILE is the file that a user would choose. IDS are values for the variables in paths, as JSON:
// {"/uploads": "01a1…"}, by the beginning of the path. Fails with a list of the requests that did not work.
import { readFile } from 'node:fs/promises'
import converter from 'openapi-to-postmanv2'
import postman from 'postman-collection'

const [url, path, ids] = process.argv.slice(2)
const idOf = Object.entries(JSON.parse(ids))
const text = await (await fetch(`${url}/openapi.json`)).text()
const file = new File([await readFile(path)], 'chosen.csv')

// Requests that a server refuses although nothing is wrong with them: the job has ended, or is being repaired already.
const refusals = {
  'DELETE /reconcile/:id': ['job_ended'],
  'POST /reconcile/:id/repair': ['repair_under_way'],
}

const convert = (options) => new Promise((resolve, reject) => {
  converter.convertV2({ type: 'string', data: text }, options, (error, converted) => {
    if (error || !converted.result) reject(error ?? new Error(converted.reason))
    else resolve(new postman.Collection(converted.output[0].data))
  })
})

// A form, with the file that a user has chosen. A file that is optional is not chosen.
const formOf = (body, isOptional) => {
  const form = new FormData()
  for (const field of body.formdata.all()) {
    if (field.type !== 'file') throw new Error(`form field ${field.key} is no file but ${field.type}`)
    form.append(field.key, isOptional ? new File([], '') : file)
  }
  return form
}

const send = async (request, baseUrl) => {
  const template = `/${request.url.path.join('/')}`
  const id = idOf.find(([start]) => template.startsWith(start))?.[1]
  const variables = request.url.variables.map((variable) => [`:${variable.key}`, variable.key === 'id' ? id : variable.value])
  const pathname = variables.reduce((known, [name, value]) => known.replace(name, encodeURIComponent(value)), template)
  const query = new URLSearchParams(request.url.query.filter((one) => !one.disabled).map(({ key, value }) => [key, value]))
  // fetch adds the boundary, as Postman does.
  const headers = request.headers.filter((header) => !header.disabled && header.key !== 'Content-Type').map(({ key, value }) => [key, value])
  const isForm = request.body?.mode === 'formdata'
  const body = isForm ? formOf(request.body, template.endsWith('/replay')) : undefined
  const answer = await fetch(`${baseUrl}${pathname}?${query}`, { method: request.method, headers, body })
  const received = await answer.text()
  if (query.get('remove') === 'unexpected') throw new Error('a request that nobody has changed removes rounds')
  const name = `${request.method} ${template}`
  const code = answer.headers.get('content-type')?.includes('problem') ? JSON.parse(received).code : ''
  const worked = answer.ok || refusals[name]?.includes(code)
  return { name, isForm, line: `${name}?${query}: ${answer.status} ${worked ? code : received}`, worked }
}

const failures = []
for (const parametersResolution of ['Schema', 'Example']) {
  const collection = await convert({ parametersResolution })
  const baseUrl = collection.variables.get('baseUrl')
  if (baseUrl !== url) failures.push(`baseUrl is ${baseUrl}`)
  const requests = []
  collection.forEachItem((item) => requests.push(item.request))
  const forms = []
  for (const request of requests) {
    const sent = await send(request, baseUrl)
    console.log(sent.line)
    if (!sent.worked) failures.push(`${parametersResolution}: ${sent.line}`)
    if (sent.isForm) forms.push(sent.name)
  }
  if (!forms.includes('POST /uploadcsv')) failures.push('POST /uploadcsv has no field for a file')
}
if (failures.length > 0) {
  console.error(failures.join('\n'))
  process.exit(1)
}
