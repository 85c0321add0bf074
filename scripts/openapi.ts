/*
 * Writes openapi.yaml from the routes: `npm run openapi`. With --check it only tells whether the
 * committed file is what the routes say, and exits 1 when it is not.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { describeApi } from './describe-api.js'

const file = new URL('../openapi.yaml', import.meta.url)
const text = await describeApi()
if (!process.argv.includes('--check')) {
  writeFileSync(file, text)
} else if (readFileSync(file, 'utf8') !== text) {
  console.error('openapi.yaml is stale: npm run openapi')
  process.exitCode = 1
}
