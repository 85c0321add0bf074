/**
 * Drizzle's studio on the configured database, or the embedded one: `npm run db:studio`. It takes
 * the studio's own options after `--`, and listens on the loopback address only.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { openForCommand } from '../src/compose-databases.js'
import { loadConfig } from '../src/config.js'
import { createLog } from '../src/log.js'

if (existsSync('.env')) process.loadEnvFile('.env')
const config = loadConfig(process.env)
const log = createLog({ level: 'warn', secrets: [], destination: process.stderr })
const { source, db, close } = await openForCommand(config, log)
const studio = spawn('drizzle-kit', ['studio', ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, DATABASE_URL: source.url, DATABASE_SCHEMA: db.schema },
})
// the studio ends first, and what was started for it after it
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => void studio.kill(signal))
}
process.exitCode = await new Promise<number>((resolve, reject) => {
  studio.once('error', reject)
  studio.once('exit', (code) => resolve(code ?? 0))
})
await close()
