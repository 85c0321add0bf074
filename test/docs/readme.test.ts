import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from '../helpers/cluster.js'
import { temporaryDirectory } from '../helpers/server.js'
import {
  alike,
  blocksOf,
  README,
  runStep,
  SELLING,
  sectionsOf,
  shown,
  start,
  stepsOf,
} from './kit.js'

/* The README's shell blocks are run as they stand, and their output must be what it says. */

t.test('what the README shows is what happens', async (t) => {
  const { PATH, HOME } = process.env
  const env = { PATH, HOME, PORT: '0', HOST: '127.0.0.1', DATA_DIR: temporaryDirectory(t) }
  t.match(blocksOf(README, 'sh')[0], /^npm ci && npm start$/m, 'the one command that runs it')
  const { port, key } = await start(t, env)
  const parts = sectionsOf(README).filter(({ title }) => title !== SELLING)
  const steps = parts.flatMap(({ text }) => blocksOf(text, 'console').flatMap(stepsOf))
  t.ok(steps.length >= 10)
  for (const step of steps) {
    if (step.command.startsWith('export KEY=')) continue
    const actual = await runStep(t, step, { port, env: { ...env, KEY: key } })
    const expected: unknown = JSON.parse(step.output)
    t.equal(shown(alike(expected, actual)), shown(expected), step.command)
  }
})

t.test('every file that the README points to is there', async (t) => {
  const links = [...README.matchAll(/\]\(([^)]+)\)/g)].map((m) => m[1] ?? '')
  const files = links.filter((link) => !link.startsWith('http'))
  t.ok(files.length >= 5)
  for (const file of files) t.ok(existsSync(join(ROOT, file)), file)
})
