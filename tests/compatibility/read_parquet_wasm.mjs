// parquet-wasm, whose result apache-arrow reads.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { column, probe } from './columns.mjs'

const require = createRequire(import.meta.url)
const { tableFromIPC } = require('apache-arrow')
const { readParquet } = require('parquet-wasm')

await probe(async (path, names) => {
  const bytes = new Uint8Array(readFileSync(path))
  const table = tableFromIPC(readParquet(bytes, names && { columns: names }).intoIPCStream())
  const columns = {}
  for (const [i, field] of table.schema.fields.entries()) {
    const vector = table.getChildAt(i)
    const type = String(field.type).toLowerCase()
    let values = vector.toArray ? Array.from(vector) : []
    if (type.startsWith('timestamp')) {
      // What apache-arrow's `get` gives is a number of milliseconds; the nanoseconds are below it.
      values = vector.data.flatMap(chunk => Array.from({ length: chunk.length }, (_, at) =>
        chunk.getValid(at) ? chunk.values[at] : null))
    }
    columns[field.name] = column(type, values)
  }
  return columns
})
