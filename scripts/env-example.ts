/** Writes .env.example from the settings: `npm run env:example`. */
import { writeFileSync } from 'node:fs'
import { renderEnvironmentExample } from '../src/config.js'

writeFileSync(new URL('../.env.example', import.meta.url), renderEnvironmentExample())
