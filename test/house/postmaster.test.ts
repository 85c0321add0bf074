import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Cluster } from '../../src/db/cluster.js'
import { launchPostmaster } from '../../src/db/postmaster.js'
import type { TestContext } from '../helpers/database.js'
import { temporaryDirectory } from '../helpers/server.js'

const DEADLINE_MS = 10_000

/** A cluster whose server is this script. */
const clusterOf = (t: TestContext, script: string): Cluster => {
  const directory = temporaryDirectory(t)
  const [data, binaries] = [join(directory, 'data'), join(directory, 'bin')]
  mkdirSync(data)
  mkdirSync(binaries)
  writeFileSync(join(binaries, 'postgres'), `#!/bin/sh\n${script}\n`)
  chmodSync(join(binaries, 'postgres'), 0o755)
  const paths = { directory, data, binaries, workingDirectory: directory, dataArgument: data }
  const logFile = join(directory, 'log')
  writeFileSync(logFile, 'é of before\n')
  return { ...paths, logFile, password: '', majorVersion: 18, identity: {}, isNew: false }
}

const failureOf = async (cluster: Cluster): Promise<string> => {
  const failure = launchPostmaster(cluster, 5432)
  const endMs = performance.now() + DEADLINE_MS
  while (failure() === null && performance.now() < endMs) await sleep(10)
  return failure() ?? 'none'
}

t.test('a server that ends is told of with its last words, and no older ones', async (t) => {
  const cluster = clusterOf(t, 'echo "no room"; exit 3')
  t.equal(await failureOf(cluster), 'it ended with 3: no room')
})

t.test('a server whose log is gone with it ends nothing else', async (t) => {
  const cluster = clusterOf(t, 'rm ../log log; exit 1')
  t.match(await failureOf(cluster), /^it ended with 1: its log can not be read \(ENOENT/)
})

t.test('a server that says nothing is told of all the same', async (t) => {
  t.equal(await failureOf(clusterOf(t, 'exit 2')), 'it ended with 2: it said nothing')
})
