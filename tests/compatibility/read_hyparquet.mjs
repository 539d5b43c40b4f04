// hyparquet with hyparquet-compressors. With the option `nanoseconds` stamps come as integers by a parser of one line.

import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { column, probe } from './columns.mjs'

await probe(async (path, names, option) => {
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file)
  const parsers = option === 'nanoseconds' ? { timestampFromNanoseconds: nanos => nanos } : undefined
  const rows = await parquetReadObjects({ file, metadata, compressors, columns: names, parsers })
  const columns = {}
  for (const { name, type } of metadata.schema.slice(1)) {
    if (names && !names.includes(name)) continue
    const values = rows.map(row => row[name])
    const stamps = values.find(value => value) instanceof Date
    const plain = stamps ? values.map(value => value && BigInt(value.getTime()) * 1_000_000n) : values
    const seen = values.find(value => value !== null && value !== undefined)
    const kind = type === 'DOUBLE' ? 'number (float)' : stamps ? 'Date' : typeof seen
    columns[name] = column(kind, plain)
  }
  return columns
})
