import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { temporaryDirectory } from '../helpers/server.js'
import { eventually } from './kit-client.js'
import { embeddedPid, embeddedUrl } from './kit-ground.js'
import { openScene, TIMEOUT_MS } from './kit-scene.js'

t.setTimeout(TIMEOUT_MS)

t.test('one service on the embedded database', { timeout: TIMEOUT_MS }, async (t) => {
  const directory = temporaryDirectory(t)
  t.teardown(() => endServer(directory))
  const env = { DATA_DIR: directory }
  const scene = await openScene(t, { places: 1, databaseUrl: () => embeddedUrl(directory), env })
  const { random } = scene
  const wasAdopted = () =>
    scene.services[0]?.log().some((line) => line.wasAdopted === true) ?? false

  await t.test('F1: kill -9 of the service under load: its server is adopted', async (t) => {
    const server = embeddedPid(directory)
    const load = await scene.load()
    for (let round = 0; round < 2; round += 1) {
      await sleep(random.between(300, 800))
      await scene.kill(0)
      await scene.start(0)
      t.ok(wasAdopted(), 'the server that was left behind is used')
      t.equal(embeddedPid(directory), server)
    }
    await sleep(300)
    await load.check(t)
  })

  await t.test('F1: kill -9 of the service and of its server: nothing is lost', async (t) => {
    const load = await scene.load()
    await sleep(random.between(500, 900))
    const server = embeddedPid(directory)
    process.kill(server, 'SIGKILL')
    await scene.kill(0)
    await scene.start(0)
    t.notOk(wasAdopted(), 'a new server replays what the old one had written')
    t.not(embeddedPid(directory), server)
    await sleep(300)
    await load.check(t)
  })

  await t.test('F2: kill -9 of the server alone: it is started again by itself', async (t) => {
    const load = await scene.load()
    await sleep(random.between(300, 600))
    const server = embeddedPid(directory)
    process.kill(server, 'SIGKILL')
    const isNew = () => {
      try {
        return embeddedPid(directory) !== server
      } catch {
        return false
      }
    }
    t.comment(`a new one after ${(await eventually('a new server', isNew, 20_000)).toFixed()} ms`)
    await sleep(500)
    await load.check(t)
  })

  await t.test('F18: SIGTERM under load, and a new start: nothing is lost', async (t) => {
    const load = await scene.load()
    await sleep(500)
    t.equal(await scene.services[0]?.stop(), 0, 'it ends in order')
    const dropped = () =>
      load.calls.filter(
        ({ trouble, reply }) => trouble && reply?.headers['idempotent-replayed'] === 'true',
      )
    await scene.start(0)
    await sleep(300)
    await load.check(t)
    t.same(dropped(), [], 'what was accepted was answered')
  })
})

/** A service that was killed leaves its server behind: it is ours to end. */
const endServer = (directory: string): void => {
  try {
    const file = join(directory, 'postgres', 'data', 'postmaster.pid')
    process.kill(Number(readFileSync(file, 'utf8').split('\n')[0]), 'SIGQUIT')
  } catch {
    // it has ended in order
  }
}
