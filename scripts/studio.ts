/** Drizzle's studio on the configured database, or the embedded one: `npm run db:studio`. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { openForCommand } from '../src/compose-databases.js'
import { loadConfig } from '../src/config.js'
import { createLog } from '../src/log.js'

if (existsSync('.env')) process.loadEnvFile('.env')
const config = loadConfig(process.env)
const log = createLog({ level: 'warn', secrets: [], destination: process.stderr })
const { source, db, close } = await openForCommand(config, log)
const studio = spawn('drizzle-kit', ['studio'], {
  stdio: 'inherit',
  env: { ...process.env, DATABASE_URL: source.url, DATABASE_SCHEMA: db.schema },
})
// Ctrl-C ends the studio, and what was started for it ends after it
process.on('SIGINT', () => {})
process.exitCode = await new Promise<number>((resolve, reject) => {
  studio.once('error', reject)
  studio.once('exit', (code) => resolve(code ?? 0))
})
await close()
