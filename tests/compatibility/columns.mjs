// The same as columns.py, for probes in JavaScript: what they write is what columns.py loads.

import { mkdirSync, writeFileSync } from 'node:fs'

/** A column of JavaScript values: numbers, bigints, booleans or texts; null or undefined where there is none. */
export function column(type, values) {
  const missing = Uint8Array.from(values, value => value === null || value === undefined ? 1 : 0)
  const first = values.find(value => value !== null && value !== undefined)
  if (typeof first === 'string') {
    return { type, kind: 'text', missing, values: Array.from(values, value => value ?? '') }
  }
  if (type.includes('float')) {
    return { type, kind: 'float', missing, values: Float64Array.from(values, value => value ?? 0) }
  }
  return { type, kind: 'int', missing, values: BigInt64Array.from(values, value => BigInt(value ?? 0)) }
}

/** The main of a probe: `node PROBE FILE FOLDER NAMES [OPTION…]`. */
export async function probe(read) {
  const [path, folder, names, ...options] = process.argv.slice(2)
  const errors = {}
  let columns = {}
  try {
    columns = await read(path, undefined, ...options)
  } catch (error) {
    errors[''] = reason(error)
    for (const name of names.split(',')) {
      // The file itself is what it cannot read.
      if (!Object.keys(columns).length && Object.keys(errors).length > 4) break
      try {
        columns = { ...columns, ...await read(path, [name], ...options) }
      } catch (error) {
        errors[name] = reason(error)
      }
    }
  }
  mkdirSync(folder, { recursive: true })
  const index = Object.entries(columns).map(([name, { kind, type }]) => ({ name, kind, type }))
  Object.values(columns).forEach(({ kind, missing, values }, number) => {
    writeFileSync(`${folder}/${number}.missing`, missing)
    writeFileSync(`${folder}/${number}.values`, kind === 'text' ? JSON.stringify(values) : values)
  })
  writeFileSync(`${folder}/columns.json`, JSON.stringify(index))
  writeFileSync(`${folder}/errors.json`, JSON.stringify(errors))
}

function reason(error) {
  return String(error).split('\n').find(line => line.trim()) ?? 'an error without a text'
}
