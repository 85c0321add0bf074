import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { openPostgres } from './kit-postgres.js'
import { openScene } from './kit-scene.js'

const postgres = await openPostgres(t)

t.test('F1: kill -9 of either of two services under load, again and again', async (t) => {
  const url = await postgres.createDatabase('kills')
  const env = { DATABASE_URL: url }
  const scene = await openScene(t, { places: 2, databaseUrl: () => url, env })
  const load = await scene.load()
  for (const place of [0, 1, 0]) {
    await sleep(scene.random.between(300, 900))
    await scene.kill(place)
    await sleep(scene.random.between(100, 400))
    await scene.start(place)
  }
  await sleep(500)
  await load.check(t)
})
